"""The dense networks: `ICNN`, and `SOCICNN` with quadratic and Euclidean-norm branches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack, final

from socicnn.nn._branches import BranchSpec, checked
from socicnn.nn._dense import Dense
from socicnn.nn._dying import warn_if_units_die
from socicnn.nn._options import SMOOTH, Activation, ContextMode, NetOptions, NetSettings, net_options


@final
class ICNN(Dense):
    """Input-convex network f(x) = w'z_L + v'x + c (Amos, Xu and Kolter, 2017): a `SOCICNN` without branches.

    Args:
        in_features: length n of x.
        hidden_features: widths h_1 .. h_L; empty for an affine function.
        context_features: length p of the context theta, 0 for none.
        context: `joint` (convex in x and theta together) or `partial` (convex in x for each theta).
        activation: `relu`, `softplus`, `leaky_relu` or `maxout`, one name or one per layer.
        passthrough: whether x enters the layers after the first.
        options: how it is made: recipe, law of the start, type, device.
        settings: the entries of `NetOptions` as keywords, e.g. `positivity="lift"`; they go before `options`.

    >>> import torch
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
        context: ContextMode = "partial",
        activation: Activation | Sequence[Activation] = "relu",
        passthrough: bool = True,
        options: NetOptions | None = None,
        **settings: Unpack[NetSettings],
    ) -> None:
        super().__init__(
            in_features,
            hidden_features,
            (),
            (),
            context_features=context_features,
            context=context,
            activation=activation,
            passthrough=passthrough,
            options=net_options("ICNN", options, settings, refused=("quadratic_offset", *SMOOTH)),
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
         + sum_j alpha_j log sum_i exp((G_j x + o_j)_i) + sum_i omega_i log(1 + exp((S x + s)_i))

    The last two sums are there if the options `logsumexp` and `logistic` list branches. A branch of k rows has k n
    numbers in its matrix, k in its offset, and one weight alpha, or k weights omega.

    Start: U_1, A, C, G, S ~ N(0, 1/n), later U_k, v and all W, w, b_k, c by the initialiser, offsets 0, beta = 1/rows,
    gamma = 1/sqrt(rows), alpha = 1, omega = 1/rows; in `joint` mode n + p takes the place of n. What a partial context
    emits starts at the same values (`socicnn.nn._context`).

    Args:
        in_features: length n of x.
        hidden_features: widths h_1 .. h_L; empty for no hidden layer.
        quadratic: rows of each quadratic branch; instead of a number "diagonal" (n rows, one per coordinate) or
            ("diagonal", k) (k full rows more), which export sparse. Defaults to one of n rows; () for none.
        norm: the same for the norm branches.
        context_features: length p of the context theta, 0 for none.
        context: `joint` (theta next to x everywhere, branches included: convex in x and theta together) or `partial`
            (theta sets biases, offsets, read-out and branch weights: convex in x for each theta).
        activation: `relu`, `softplus`, `leaky_relu` or `maxout`, one name or one per layer.
        passthrough: whether x enters the layers after the first.
        options: how it is made: recipe, law of the start, type, device.
        settings: the entries of `NetOptions` as keywords, e.g. `positivity="lift"`; they go before `options`.

    Raises:
        ModelError: an argument is invalid; the message says which.

    >>> import torch
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
        context: ContextMode = "partial",
        activation: Activation | Sequence[Activation] = "relu",
        passthrough: bool = True,
        options: NetOptions | None = None,
        **settings: Unpack[NetSettings],
    ) -> None:
        super().__init__(
            in_features,
            hidden_features,
            checked(quadratic, in_features, "quadratic"),
            checked(norm, in_features, "norm"),
            context_features=context_features,
            context=context,
            activation=activation,
            passthrough=passthrough,
            options=net_options("SOCICNN", options, settings),
        )
        if not passthrough:
            warn_if_units_die(self)

    def architecture(self) -> dict[str, Any]:
        """Return the arguments that describe the architecture."""
        kinds: dict[str, tuple[BranchSpec, ...]] = {"quadratic": self.quadratic, "norm": self.norm}
        kinds |= {name: entries for name in SMOOTH if (entries := getattr(self, name))}
        branches = {
            name: [list(entry) if isinstance(entry, tuple) else entry for entry in entries]
            for name, entries in kinds.items()
        }
        return {**self._described(), **branches, "quadratic_offset": self.quadratic_offset}
