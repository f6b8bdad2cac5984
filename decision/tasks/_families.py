"""The six tasks of the benchmark: which set, which family, and the distributions that their arrays are drawn from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor

from decision._atoms import Atom, Huber, LogisticAtom, LogSumExpAtom, NormAtom
from decision.sets import FeasibleSet, SetSettings
from decision.sets import make as make_set
from decision.tasks._maps import ContextMap, MapReadout, normalised, positive
from decision.tasks._task import CostBlock, Task, stream
from socicnn._arrays import Array, as_float64
from socicnn._integers import as_integer
from socicnn._registry import choose
from socicnn.errors import ModelError


@dataclass(frozen=True)
class Surroundings:
    """What the set decides: the centre, the linear map, and the weights of the norms.

    Args:
        set_options: options of the set, given n.
        centre: readout of the centre.
        m0: range of the centre's bias.
        M: scale of the centre's weight.
        C: scale of the linear map's weight.
        norm_bias: range of the bias of a norm's weight.
        norm_weight: scale of the weight of a norm's weight.
    """

    set_options: Callable[[int], SetSettings]
    centre: MapReadout
    m0: tuple[float, float]
    M: float
    C: float
    norm_bias: tuple[float, float]
    norm_weight: float


_UNIT = partial(torch.clamp, min=0.0, max=1.0)
_SURROUNDINGS = {
    "simplex": Surroundings(lambda n: {}, normalised, (0.0, 1.0), 0.08, 0.20, (0.20, 0.60), 0.20),
    "box": Surroundings(lambda n: {}, _UNIT, (0.2, 0.8), 0.25, 0.25, (0.25, 0.80), 0.25),
    "budget": Surroundings(lambda n: {"total": 0.3 * n}, _UNIT, (0.10, 0.55), 0.20, 0.20, (0.20, 0.70), 0.20),
}


@dataclass(frozen=True)
class Family:
    """What the family decides: its function, its weights and its offsets.

    Args:
        atom: the convex function.
        floor: what is added to the softplus of the weights.
        beta: range of the weights' bias; None if the set decides.
        B: scale of the weights' weight; None if the set decides.
        s: offsets' bias is U(-s, s).
        S: scale of the offsets' weight.
    """

    atom: Atom
    floor: float
    beta: tuple[float, float] | None
    B: float | None
    s: float
    S: float


_NORM = Family(NormAtom(), 0.10, None, None, 0.3, 0.25)
_LOGISTIC = Family(LogisticAtom(), 0.05, (0.2, 0.7), 0.15, 0.4, 0.25)
_LOGSUMEXP = Family(LogSumExpAtom(), 0.05, (0.2, 0.6), 0.15, 0.35, 0.22)
_HUBER = Family(Huber(), 0.05, (0.10, 0.45), 0.10, 0.3, 0.18)


@dataclass(frozen=True)
class TaskRecipe:
    """One task: a set, the quadratic's weight, a family, and the rows of each block, given n."""

    set_name: str
    quad: float
    family: Family
    rows: Callable[[int], tuple[int, ...]]


TaskName: TypeAlias = Literal[
    "simplex_socp", "box_socp", "budget_twocone_socp", "simplex_logistic", "box_logsumexp", "budget_huber"
]
RECIPES = {
    "simplex_socp": TaskRecipe("simplex", 1.0, _NORM, lambda n: (max(4, n // 3),)),
    "box_socp": TaskRecipe("box", 1.0, _NORM, lambda n: (max(4, n // 3),)),
    "budget_twocone_socp": TaskRecipe("budget", 1.0, _NORM, lambda n: (max(4, n // 4), max(3, n // 5))),
    "simplex_logistic": TaskRecipe("simplex", 0.35, _LOGISTIC, lambda n: (max(6, n // 3),)),
    "box_logsumexp": TaskRecipe("box", 0.35, _LOGSUMEXP, lambda n: (max(4, n // 5),) * 2),
    "budget_huber": TaskRecipe("budget", 0.25, _HUBER, lambda n: (max(8, n // 2),)),
}


def names() -> list[str]:
    """Return the names of the tasks."""
    return list(RECIPES)


def _recipe(name: str) -> TaskRecipe:
    return RECIPES[choose("task", name, RECIPES)]


def make(name: TaskName, features: int = 10, *, seed: int, context_features: int = 8) -> Task:
    """Draw the task of that name; the same name, sizes and seed give the same task.

    Args:
        name: one of `names()`.
        features: length n of x.
        seed: seed of the task's arrays; data have seeds of their own.
        context_features: length p of theta.

    Raises:
        ModelError: the name is unknown, or a size is below 1.

    >>> task = make("budget_huber", features=20, seed=2026)
    >>> task.feasible_set
    Budget(n=20, total=6.0, equality=True)
    >>> task.sample(contexts=3, candidates=5, seed=1).y.shape
    torch.Size([3, 5])
    """
    recipe = _recipe(name)
    features, context_features = as_integer("features", features), as_integer("context_features", context_features)
    place, family, n, p = _SURROUNDINGS[recipe.set_name], recipe.family, features, context_features
    generator = stream(f"task {name} {n} {p}", seed)

    def randn(rows: int, columns: int, scale: float) -> Tensor:
        return torch.randn(rows, columns, dtype=torch.float64, generator=generator) * (scale / columns**0.5)

    def uniform(size: int, lower: float, upper: float) -> Tensor:
        return lower + (upper - lower) * torch.rand(size, dtype=torch.float64, generator=generator)

    m0 = uniform(n, *place.m0)
    if recipe.set_name == "simplex":
        m0 = m0 / m0.sum()
    arrays = {"w": uniform(n, 0.8, 1.6), "c0": uniform(n, -0.3, 0.3), "C": randn(n, p, place.C)}
    arrays |= {"m0": m0, "M": randn(n, p, place.M)}
    beta, B = family.beta or place.norm_bias, place.norm_weight if family.B is None else family.B
    for k, rows in enumerate(recipe.rows(n), start=1):
        weights = rows if family.atom.elementwise else 1
        arrays[f"A{k}"] = randn(rows, n, 1.0)
        arrays |= {f"s{k}": uniform(rows, -family.s, family.s), f"S{k}": randn(rows, p, family.S)}
        arrays |= {f"beta{k}": uniform(weights, *beta), f"B{k}": randn(weights, p, B)}
    return from_arrays(name, arrays)


def from_arrays(name: str, arrays: Mapping[str, Any], feasible_set: FeasibleSet | None = None) -> Task:
    """Build a task of that name from given arrays: somebody else's instance.

    With softplus(r) = log(1 + exp(r)), and k = 1, 2, ... the blocks (one per array A1, A2, ...):

    | arrays | shapes | meaning |
    |---|---|---|
    | w | (n,) | scales of the quadratic quad/2 sum_i (w_i (x_i - m_i))^2 |
    | c0, C | (n,), (n, p) | c = clip(c0 + C theta, -2, 2) |
    | m0, M | (n,), (n, p) | m = clip(m0 + M theta, 0, 1); on the simplex softplus(m0 + M theta) + 1e-6, normalised |
    | Ak | (rows, n) | rows of block k |
    | sk, Sk | (rows,), (rows, p) | offsets sk + Sk theta |
    | betak, Bk | (weights,), (weights, p) | weights f + softplus(betak + Bk theta), f = 0.10 for norms, else 0.05 |

    `weights` is 1 for a norm or a log-sum-exp (one value per block) and `rows` for logistic and Huber atoms (one per
    row).

    Args:
        name: one of `names()`: it says the set, quad and the family.
        arrays: the arrays above; `task_arrays(task)` gives them back.
        feasible_set: another set than the task's own.

    Raises:
        ModelError: the name is unknown, an array is missing or not known, or shapes disagree.
    """
    recipe = _recipe(name)
    blocks = sum(f"A{k}" in arrays for k in range(1, len(arrays) + 1))
    expected = {"w", "c0", "C", "m0", "M", *(f"{a}{k}" for k in range(1, blocks + 1) for a in _BLOCK)}
    if set(arrays) != expected:
        raise ModelError(
            f"arrays of {name} with {blocks} blocks: missing {sorted(expected - set(arrays))}, "
            f"not known {sorted(set(arrays) - expected)}"
        )
    place, family = _SURROUNDINGS[recipe.set_name], recipe.family
    if feasible_set is None:
        n = len(as_float64(arrays["w"]))
        feasible_set = make_set(recipe.set_name, n, **place.set_options(n))
    get = arrays.__getitem__
    return Task(
        name,
        feasible_set,
        quad=recipe.quad,
        w=get("w"),
        centre=ContextMap("the centre (m0, M)", get("m0"), get("M"), place.centre),
        linear=ContextMap("the linear map (c0, C)", get("c0"), get("C"), partial(torch.clamp, min=-2.0, max=2.0)),
        atom=family.atom,
        blocks=[
            CostBlock(
                torch.tensor(as_float64(get(f"A{k}"))),
                ContextMap(f"the offsets (s{k}, S{k})", get(f"s{k}"), get(f"S{k}")),
                ContextMap(
                    f"the weights (beta{k}, B{k})",
                    get(f"beta{k}"),
                    get(f"B{k}"),
                    partial(positive, floor=family.floor),
                ),
            )
            for k in range(1, blocks + 1)
        ],
    )


_BLOCK = ("A", "s", "S", "beta", "B")


def task_arrays(task: Task) -> dict[str, Array]:
    """Return the arrays that `from_arrays` takes; `numpy.savez` keeps them.

    >>> task = make("box_socp", features=5, seed=0)
    >>> sorted(task_arrays(task))
    ['A1', 'B1', 'C', 'M', 'S1', 'beta1', 'c0', 'm0', 's1', 'w']
    """
    tensors = {"w": task.w, "c0": task.linear.bias, "C": task.linear.weight}
    tensors |= {"m0": task.centre.bias, "M": task.centre.weight}
    for k, block in enumerate(task.blocks, start=1):
        values = (block.A, block.offset.bias, block.offset.weight, block.weight.bias, block.weight.weight)
        tensors |= {f"{label}{k}": value for label, value in zip(_BLOCK, values, strict=True)}
    return {key: as_float64(value) for key, value in tensors.items()}
