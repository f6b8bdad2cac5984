"""Surrogates of a true cost, by name: five shapes, each joint or partial in the context, and lifts of two of them.

| name | backbone | branches |
|---|---|---|
| relu | ReLU | none |
| softplus | ReLU, softplus in the last layer | none |
| quad | ReLU | one quadratic |
| norm | ReLU | norms |
| soc | ReLU | one quadratic, norms |

`-joint` networks are convex in (x, theta) together and have the sizes of the benchmark; `-partial` networks are convex
in x for each theta and small. `lift-relu-joint`, ... hold their non-negative weights by the lift. `make(task)` needs no
name: it takes `soc-partial`, or a linear network where the task's cost is linear in x.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Unpack

from socicnn._progress import log
from socicnn._registry import choose
from socicnn.errors import ModelError
from socicnn.nn import ICNN, SOCICNN
from socicnn.nn._branches import BranchSpec
from socicnn.nn._dense import Dense
from socicnn.nn._options import BranchSettings
from socicnn.positivity import RECIPES

if TYPE_CHECKING:
    from decision._simulator import AnyTask

WIDE = 50  # from this n on the joint networks have twice the width


class SurrogateSettings(BranchSettings, total=False):
    """The arguments of a network that may replace those of a surrogate's shape, for editors and type checkers."""

    hidden_features: Sequence[int]


@dataclass(frozen=True)
class Shape:
    """The architecture of a surrogate, and how it is made.

    Args:
        hidden_features: widths h_1 .. h_L.
        quadratic: quadratic branches, as `SOCICNN` takes them.
        norm: norm branches, as `SOCICNN` takes them.
        options: further arguments of the network.
    """

    hidden_features: tuple[int, ...]
    quadratic: tuple[BranchSpec, ...]
    norm: tuple[BranchSpec, ...]
    options: dict[str, Any]


def joint(kind: str, n: int) -> Shape:
    """Return the benchmark's shape: two hidden layers, branches of n rows with offsets."""
    plain = kind in ("relu", "softplus")
    width = (144 if plain else 128) * (2 if n >= WIDE else 1)
    options = {"activation": ("relu", "softplus")} if kind == "softplus" else {}
    return Shape(
        (width, width),
        (n,) if kind in ("quad", "soc") else (),
        (n, n) if kind in ("norm", "soc") else (),
        {"context": "joint", **options},
    )


def partial(kind: str, n: int) -> Shape:
    """Return a small shape: few hidden units, a diagonal quadratic, one wide norm and narrow ones.

    A norm of three rows whose offset does not vanish is a smooth one-dimensional kink, which is what atoms such as
    Huber's or the logistic function look like; relu units leave decisions at their corners.
    """
    hidden = {"soc": 8, "norm": 8}.get(kind, 64)
    options = {"activation": "softplus"} if kind == "softplus" else {}
    branches = kind in ("quad", "norm", "soc")
    return Shape(
        (hidden,),
        ("diagonal",) if kind in ("quad", "soc") else (),
        (min(n, 20), *(3,) * (n // 2)) if kind in ("norm", "soc") else (),
        {
            "context": "partial",
            "context_hidden": 128 if n < WIDE else 256,
            "context_activation": "relu",
            **({"quadratic_offset": False} if branches else {}),
            **options,
        },
    )


KINDS = ("relu", "softplus", "quad", "norm", "soc")
_SHAPES: dict[str, Callable[[str, int], Shape]] = {"joint": joint, "partial": partial}
_LIFTED = ("relu", "soc")


def names() -> list[str]:
    """Return the names that `make` knows, those of the lift where its recipe is there."""
    plain = [f"{kind}-{context}" for context in _SHAPES for kind in KINDS]
    lifted = [f"lift-{kind}-{context}" for context in _SHAPES for kind in _LIFTED]
    return plain + (lifted if "lift" in RECIPES else [])


def suited(task: AnyTask, **options: Unpack[SurrogateSettings]) -> Dense:
    """Return a fresh surrogate for a task: `soc-partial`, or a linear one where the cost is linear in x.

    A linear cost is least at vertices of the set, where branches and units only round the corners. The logger
    `socicnn` says so when it is taken.

    Args:
        task: a task, or what `decision.problem` returns; a cost is linear if its `is_linear` says so.
        options: arguments of the network that replace those of its shape: generator, dtype ...

    >>> import decision
    >>> prices = decision.problem(lambda x, theta: (x * theta).sum(axis=1), decision.Simplex(3),
    ...                           sample_contexts=lambda count, rng: rng.uniform(size=(count, 3)))
    >>> suited(prices).hidden_features
    ()
    """
    is_linear = getattr(task, "is_linear", None)
    if is_linear is None or not is_linear():
        return make("soc-partial", task.in_features, task.context_features, **options)
    log.info(
        "the cost of %s is linear in x: the surrogate is linear, too, without hidden units and branches; "
        'for others name them, e.g. make("soc-partial", task)',
        task.name,
    )
    shape: dict[str, Any] = {"hidden_features": (), "context_hidden": 128, "context_activation": "relu", **options}
    return ICNN(task.in_features, context_features=task.context_features, **shape)


def make(
    name: str | AnyTask,
    in_features: int | AnyTask | None = None,
    context_features: int = 8,
    **options: Unpack[SurrogateSettings],
) -> Dense:
    """Return a fresh surrogate, by name or for a task.

    Args:
        name: one of `names()`; or a task: `soc-partial`, or a linear network if the task's cost is linear in x.
        in_features: length n of x; or a task, which has this size and the context's. Left out if a task is given first.
        context_features: length p of theta.
        options: arguments of the network that replace those of its shape: hidden_features, norm, positivity, dtype,
            generator ...

    Raises:
        ModelError: the name is unknown, sizes are missing, or an option does not belong to the network.

    >>> sum(parameter.numel() for parameter in make("soc-joint", 10).parameters())
    21968
    """
    if not isinstance(name, str):
        if in_features is not None:
            raise ModelError("a task has its own sizes; write make(task), or make(name, task) for a shape by name")
        return suited(name, **options)
    if in_features is None:
        raise ModelError(f"make({name!r}) needs in_features, the length of x, or a task; received neither")
    n: Any = in_features
    if hasattr(n, "context_features"):
        n, context_features = n.in_features, n.context_features
    choose("surrogate", name, names())
    *lift, kind, context = name.split("-")
    shape = _SHAPES[context](kind, n)
    settings: dict[str, Any] = {
        "hidden_features": shape.hidden_features,
        "context_features": context_features,
        **shape.options,
        **({"positivity": "lift"} if lift else {}),
    }
    if kind in ("relu", "softplus"):
        network: Any = ICNN
    else:
        network = SOCICNN
        settings |= {"quadratic": shape.quadratic, "norm": shape.norm}
    try:
        made: Dense = network(n, **{**settings, **options})
    except TypeError as error:
        raise ModelError(f"{name} cannot be made with {sorted(options)}: {error}") from None
    return made
