"""The dense networks: `ICNN`, and `SOCICNN` with quadratic and Euclidean-norm branches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

import torch

from socicnn.nn.branches import BranchSpec, checked
from socicnn.nn.context import CODE
from socicnn.nn.dense import Dense
from socicnn.nn.dying import warn_if_units_die
from socicnn.nn.network import Means
from socicnn.positivity.base import Recipe
from socicnn.positivity.initial import Initialiser


@final
class ICNN(Dense):
    """Input-convex network f(x) = w'z_L + v'x + c (Amos, Xu and Kolter, 2017): a `SOCICNN` without branches.

    Args:
        in_features: length n of x.
        hidden_features: widths h_1 .. h_L; empty for an affine function.
        context_features: length p of the context theta, 0 for none.
        context: `joint` (convex in x and theta together) or `partial` (convex in x for each theta).
        activation: `relu` or `softplus`, one name or one a layer; softplus networks have no conic program.
        passthrough: whether x enters the layers after the first.
        positivity: recipe that keeps W and w non-negative, or its short name.
        initialiser: law of the weights at the start, or its short name.
        readout: recipe whose `emit` reads a context network's outputs; that of `positivity` where None.
        context_hidden: width of a partial context's network; 0 for vectors affine in theta.
        context_activation: its activation, `silu` or `relu`.
        generator: source of the initial weights; torch's own where None.
        dtype: floating type; torch's default where None.
        device: where the tensors live.

    >>> model = ICNN(3, hidden_features=(8,))
    >>> model(torch.zeros(5, 3)).shape
    torch.Size([5])
    """

    def __init__(
        self,
        in_features: int,
        hidden_features: Sequence[int] = (64, 64),
        *,
        context_features: int = 0,
        context: str = "partial",
        activation: str | Sequence[str] = "relu",
        passthrough: bool = True,
        positivity: Recipe | str = "projected",
        initialiser: Initialiser | str = "principled",
        readout: Recipe | str | None = None,
        context_hidden: int = CODE,
        context_activation: str = "silu",
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        means = Means(positivity, readout, initialiser, generator, dtype, device)
        super().__init__(
            in_features,
            hidden_features,
            (),
            (),
            context_features,
            context,
            activation,
            passthrough,
            True,
            context_hidden,
            context_activation,
            means,
        )
        if not passthrough:
            warn_if_units_die(self)

    def architecture(self) -> dict[str, Any]:
        """Return the arguments that describe the architecture."""
        return self._described()


@final
class SOCICNN(Dense):
    """SOC-ICNN: the ReLU backbone with quadratic and Euclidean-norm branches.

    f(x) = w'z_L + v'x + c + sum_m beta_m ||A_m x + e_m||^2 + sum_r gamma_r ||C_r x + d_r||_2

    Start: U_1, A, C ~ N(0, 1/n), later U_k, v and all W, w, b_k, c by the initialiser, e = d = 0, beta = 1/rows,
    gamma = 1/sqrt(rows); in `joint` mode n + p takes the place of n. What a partial context emits starts at the same
    values (`socicnn.nn.context`).

    Args:
        in_features: length n of x.
        hidden_features: widths h_1 .. h_L; empty for no hidden layer.
        quadratic: rows of each quadratic branch; instead of a number "diagonal" (n rows, one a coordinate) or
            ("diagonal", k) (k full rows more), which export sparse. One of n rows where None, () for none.
        norm: the same for the norm branches.
        context_features: length p of the context theta, 0 for none.
        context: `joint` (theta beside x everywhere, branches included: convex in x and theta together) or `partial`
            (theta sets biases, offsets, read-out and branch weights: convex in x for each theta).
        activation: `relu` or `softplus`, one name or one a layer; softplus networks have no conic program.
        passthrough: whether x enters the layers after the first.
        quadratic_offset: whether the quadratic branches have offsets e_m.
        positivity: recipe that keeps W, w, beta, gamma non-negative, or its short name.
        initialiser: law of the weights at the start, or its short name.
        readout: recipe whose `emit` reads a context network's outputs; that of `positivity` where None.
        context_hidden: width of a partial context's network; 0 for vectors affine in theta.
        context_activation: its activation, `silu` or `relu`.
        generator: source of the initial weights; torch's own where None.
        dtype: floating type; torch's default where None.
        device: where the tensors live.

    Raises:
        ModelError: an argument that cannot be; the message names it.

    >>> model = SOCICNN(3, hidden_features=(8,), quadratic=("diagonal",), norm=(2, 2), context_features=4)
    >>> model(torch.zeros(5, 7, 3), torch.zeros(5, 1, 4)).shape
    torch.Size([5, 7])
    >>> len(model.freeze(torch.zeros(4)).norms)
    2
    """

    def __init__(
        self,
        in_features: int,
        hidden_features: Sequence[int] = (64, 64),
        quadratic: Sequence[BranchSpec] | None = None,
        norm: Sequence[BranchSpec] | None = None,
        *,
        context_features: int = 0,
        context: str = "partial",
        activation: str | Sequence[str] = "relu",
        passthrough: bool = True,
        quadratic_offset: bool = True,
        positivity: Recipe | str = "projected",
        initialiser: Initialiser | str = "principled",
        readout: Recipe | str | None = None,
        context_hidden: int = CODE,
        context_activation: str = "silu",
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        means = Means(positivity, readout, initialiser, generator, dtype, device)
        super().__init__(
            in_features,
            hidden_features,
            checked(quadratic, in_features, "quadratic"),
            checked(norm, in_features, "norm"),
            context_features,
            context,
            activation,
            passthrough,
            quadratic_offset,
            context_hidden,
            context_activation,
            means,
        )
        if not passthrough:
            warn_if_units_die(self)

    def architecture(self) -> dict[str, Any]:
        """Return the arguments that describe the architecture."""
        branches = {
            name: [list(entry) if isinstance(entry, tuple) else entry for entry in entries]
            for name, entries in (("quadratic", self.quadratic), ("norm", self.norm))
        }
        return {**self._described(), **branches, "quadratic_offset": self.quadratic_offset}
