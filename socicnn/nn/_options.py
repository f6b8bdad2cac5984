"""Options of a network apart from its sizes: recipes, law of the start, type and device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from typing import Any, Literal, TypeAlias, TypedDict, cast

import torch

from socicnn._registry import of_kind
from socicnn.errors import ModelError
from socicnn.nn._branches import BranchSpec
from socicnn.positivity import InitialiserName, RecipeName
from socicnn.positivity._base import Recipe
from socicnn.positivity._initial import Initialiser

ContextMode: TypeAlias = Literal["joint", "partial"]
Activation: TypeAlias = Literal["relu", "softplus", "leaky_relu", "maxout"]
ContextActivation: TypeAlias = Literal["relu", "silu"]

CONTEXT_HIDDEN = 32


@dataclass(frozen=True, eq=False)
class NetOptions:
    """How a network is made, apart from its sizes and its quadratic and norm branches.

    Every option can be given in two ways: `SOCICNN(3, options=NetOptions(dtype=torch.float64))`, to share it among
    networks, or as a keyword of the network, `SOCICNN(3, dtype=torch.float64)`, which goes before the object.

    Args:
        positivity: recipe that keeps weights non-negative, or its short name.
        readout: recipe whose `emit` reads what a context network emits; defaults to `positivity`.
        initialiser: law of the weights at the start, or its short name.
        quadratic_offset: whether the quadratic branches have offsets e_m.
        logsumexp: log-sum-exp branches, listed as the norm branches of the network are; none if omitted. They add
            alpha_j log sum_i exp((G_j x + o_j)_i), smooth maxima.
        logistic: logistic branches, listed alike, without groups: sum_i omega_i log(1 + exp((S x + s)_i)).
        monotone: one sign per entry of x: 1 where f increases, -1 where it decreases, 0 where it is free; all free if
            omitted. The linear term of an entry with a sign makes up for what the units can fall by (of a non-negative
            f, weights in the units have the sign); the entry is not in quadratics and norms.
        nonnegative: whether f >= 0 everywhere: it then has no linear term, and a constant >= 0.
        negative_slope: slope s in [0, 1] of `leaky_relu` units below 0.
        context_hidden: width of the network that reads a partial context; 0 makes vectors affine in theta.
        context_activation: its activation.
        generator: source of the initial weights; defaults to torch's own.
        dtype: floating type; defaults to torch's.
        device: where the tensors live; defaults to torch's.

    >>> from socicnn.nn import ICNN
    >>> ICNN(3, (8,), options=NetOptions(dtype=torch.float64)).dtype
    torch.float64
    """

    positivity: Recipe | RecipeName = "projected"
    readout: Recipe | RecipeName | None = None
    initialiser: Initialiser | InitialiserName = "principled"
    quadratic_offset: bool = True
    logsumexp: Sequence[Any] = ()
    logistic: Sequence[Any] = ()
    monotone: Sequence[int] | None = None
    nonnegative: bool = False
    negative_slope: float = 0.01
    context_hidden: int = CONTEXT_HIDDEN
    context_activation: ContextActivation = "silu"
    generator: torch.Generator | None = None
    dtype: torch.dtype | None = None
    device: torch.device | str | None = None


class NetSettings(TypedDict, total=False):
    """The options of `NetOptions` as keywords of a network, for editors and type checkers."""

    positivity: Recipe | RecipeName
    readout: Recipe | RecipeName | None
    initialiser: Initialiser | InitialiserName
    quadratic_offset: bool
    logsumexp: Sequence[Any]
    logistic: Sequence[Any]
    monotone: Sequence[int] | None
    nonnegative: bool
    negative_slope: float
    context_hidden: int
    context_activation: ContextActivation
    generator: torch.Generator | None
    dtype: torch.dtype | None
    device: torch.device | str | None


class BranchSettings(NetSettings, total=False):
    """What else a `SOCICNN` takes but its sizes, for editors and type checkers."""

    quadratic: Sequence[BranchSpec] | None
    norm: Sequence[BranchSpec] | None
    context: ContextMode
    activation: Activation | Sequence[Activation]
    passthrough: bool


SMOOTH = ("logsumexp", "logistic")  # options that list branches
DENSE_ONLY = ("context_hidden", "context_activation", "monotone", "nonnegative")
_DEFAULTS = NetOptions()


def net_options(
    kind: str, options: NetOptions | None, settings: NetSettings, *, refused: Sequence[str] = ()
) -> NetOptions:
    """Return the options, those given as keywords in place of the object's.

    Args:
        kind: class of the network, for messages.
        options: the object, or None for the defaults.
        settings: the keywords.
        refused: options that this kind of network does not have.

    Raises:
        TypeError: a keyword that the network does not have.
        ModelError: `options` is of another type, or sets an option that the network does not have.
    """
    names = [field.name for field in fields(NetOptions) if field.name not in refused]
    for name in settings:
        if name not in names:
            close = get_close_matches(name, names, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise TypeError(f"{kind}() got an unexpected keyword argument {name!r}{hint}")
    if options is None:
        return replace(_DEFAULTS, **cast("dict[str, Any]", settings))
    of_kind("options", options, NetOptions)
    for name in refused:
        if getattr(options, name) != getattr(_DEFAULTS, name):
            raise ModelError(f"a {kind} has no {name}; leave it out of its options")
    return replace(options, **cast("dict[str, Any]", settings))
