"""Modules without a program over boxes far wider than what they see: the narrow box's value, or no certificate."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from decision import Box, Decision, Simplex, decide
from decision._minimise import module_surrogate, search
from decision._minimise.compiled import method
from decision.baselines import StructuredDCP
from socicnn import SOCICNN
from socicnn._ranges import Ranges
from socicnn.nn import ICNN, Conv, ConvSOCICNN, RecurrentSOCICNN
from tests.support.cases import generator

WIDE = (1e2, 1e3, 1e6, 1e9, 1e12)
NARROW, ENOUGH = 8.0, 40.0  # the second box holds every minimum below
SHARE = 1e-6  # of the narrow box's scale: the accuracy asked for
LONGEST = 3.0  # times the narrow box's evaluations, and its time


class Kinked(nn.Module):
    """A network with relu and a norm that does not say that it has a program."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        options: dict[str, Any] = {"quadratic": (3,), "norm": (2,), "context_features": 2, "dtype": torch.float64}
        self.net, self.in_features = SOCICNN(3, (8,), context="partial", generator=generator(seed), **options), 3

    def forward(self, x: torch.Tensor, theta: torch.Tensor) -> torch.Tensor:
        """Return f(x, theta)."""
        return self.net(x, theta)


class Atoms(nn.Module):
    """Logistic and log-sum-exp atoms of x in other units, with a small quadratic; 2^k f + c of x shifted and scaled."""

    def __init__(self, seed: int, k: int = 0, c: float = 0.0, shift: Any = 0.0, unit: float = 1.0) -> None:
        super().__init__()
        draw = generator(seed)
        self.A, self.B = (torch.randn(rows, 3, generator=draw, dtype=torch.float64) for rows in (5, 3))
        self.s, self.d = (torch.randn(rows, generator=draw, dtype=torch.float64) for rows in (5, 3))
        self.k, self.c, self.shift, self.unit = k, c, torch.as_tensor(shift, dtype=torch.float64), unit

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return one value per row."""
        x = x / self.unit - self.shift
        a = x @ self.A.T
        f = nn.functional.softplus(a - self.s).sum(dim=-1) + torch.logsumexp(a + self.s, dim=-1)
        return 2.0**self.k * (f + 0.1 * (x @ self.B.T + self.d).square().sum(dim=-1)) + self.c


def joint(seed: int) -> nn.Module:
    return SOCICNN(3, (8,), (3,), context_features=2, context="joint", activation="softplus", **started(seed))


def partial(seed: int) -> nn.Module:
    net = {"context_features": 2, "context": "partial", "activation": "softplus"}
    return SOCICNN(3, (8, 6), (3,), (2,), **net, **started(seed))  # type: ignore[arg-type]


def convolutional(seed: int) -> nn.Module:
    return ConvSOCICNN((1, 3, 3), (2,), (Conv(2, 3),), (), activation="softplus", **started(seed))


def recurrent(seed: int) -> nn.Module:
    return RecurrentSOCICNN((3, 2), 4, (6,), (), activation="softplus", **started(seed))


def structured(seed: int) -> nn.Module:
    return StructuredDCP(4, 2, rows=3, **started(seed))


def started(seed: int) -> dict[str, Any]:
    return {"generator": generator(seed), "dtype": torch.float64}


MAKERS: tuple[tuple[Callable[[int], nn.Module], int, bool], ...] = (
    (joint, 3, True),
    (partial, 3, True),
    (convolutional, 9, False),
    (recurrent, 6, False),
    (structured, 4, True),
    (Kinked, 3, True),
    (Atoms, 3, False),
)


def counted(model: nn.Module, function: Callable[[], Decision]) -> tuple[Decision, int, float]:
    """Return the decision, how often the module was evaluated, and seconds of processor time."""
    count = 0

    def one_more(*_: Any) -> None:
        nonlocal count
        count += 1

    with_hook = model.register_forward_pre_hook(one_more)
    began = time.process_time()
    decision = function()
    seconds = time.process_time() - began
    with_hook.remove()
    return decision, count, seconds


def times_as_long(slow: Callable[[], float], fast: Callable[[], float]) -> float:
    """Return the median of the ratios of pairs, each pair measured side by side."""
    return float(np.median([slow() / fast() for _ in range(3)]))


@pytest.mark.parametrize("seed", [0, 3])
@pytest.mark.parametrize(("make", "n", "given"), MAKERS, ids=lambda value: getattr(value, "__name__", None))
def test_wide_boxes_have_the_narrow_value(
    make: Callable[[int], nn.Module], n: int, given: bool, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make(seed)
    theta = torch.randn(4, 2, generator=generator(seed + 9), dtype=torch.float64) if given else None
    best = decide(model, Box(n, -ENOUGH, ENOUGH), theta, rtol=1e-9)
    assert float(best.x.abs().max()) < 0.9 * ENOUGH
    narrow_box = Box(n, -NARROW, NARROW)
    narrow, few, _ = counted(model, lambda: decide(model, narrow_box, theta))
    for width in WIDE:
        box = Box(n, -width, width)
        wide, many, _ = counted(model, lambda box=box: decide(model, box, theta))  # type: ignore[misc]
        assert bool(wide.certified.all()), f"+-{width:g}: {wide.status}"
        excess = (wide.value - best.value) / narrow.scale
        assert float(excess.max()) <= SHARE, f"+-{width:g}: {excess}"
        assert (wide.value - wide.gap <= best.value + 1e-12 * narrow.scale).all()  # no bound above a value
        assert float((wide.scale / narrow.scale).max()) < 100.0  # of f itself, not of the box
        assert many <= LONGEST * few, f"+-{width:g}: {many} evaluations, {few} of the narrow box"
    # compiled loops serve narrow boxes alone, and several times faster: the searches are compared without them
    monkeypatch.setattr(method, "installed", lambda: False)
    slow = lambda: counted(model, lambda: decide(model, Box(n, -WIDE[-1], WIDE[-1]), theta))[2]  # noqa: E731
    fast = lambda: counted(model, lambda: decide(model, narrow_box, theta))[2]  # noqa: E731
    ratios = []
    while not ratios or (ratios[-1] > LONGEST and len(ratios) < 3):  # a busy machine may disturb one measurement
        ratios.append(times_as_long(slow, fast))
    assert ratios[-1] <= LONGEST, f"+-{WIDE[-1]:g} takes {ratios} times as long"


def test_one_bound_that_is_far() -> None:
    for make in (Atoms, lambda seed: ICNN(3, (8,), activation="softplus", **started(seed))):
        model = make(1)
        near, far = decide(model, Box(3, -1.0, 3.0)), decide(model, Box(3, -1.0, [1e20, 3.0, 3.0]))
        if not far.certified.all():  # f falls for ever: what is not proven is not claimed
            assert float(far.relative_gap.max()) > SHARE
            continue
        assert float(far.value[0]) <= float(near.value[0]) + 2.0 * SHARE * float(near.scale[0])


def test_an_answer_that_is_off_is_not_certified() -> None:
    """The scale is that of f near its answer, whatever the box is."""
    model = SOCICNN(3, (8,), quadratic=(3,), activation="softplus", **started(0))
    found = decide(model, Box(3, -1e6, 1e6))
    assert found.certified.all()
    assert not replace(found, gap=torch.tensor([0.02], dtype=torch.float64)).certified.any()


@pytest.mark.parametrize("ends", [(-1.0, 2.0), (0.0, 1.0)])
def test_units_that_are_powers_of_two_change_no_bit(ends: tuple[float, float]) -> None:
    plain = decide(Atoms(0), Box(3, *ends))
    for k in (-40, 30):
        found = decide(Atoms(0, k=k), Box(3, *ends))
        assert torch.equal(found.x, plain.x)
        for name in ("gap", "scale"):
            assert torch.equal(getattr(found, name), getattr(plain, name) * 2.0**k)
        assert torch.equal(found.certified, plain.certified)
    for k in (-20, 20):
        unit = 2.0**k
        found = decide(Atoms(0, unit=unit), Box(3, *(end * unit for end in ends)))
        assert torch.equal(found.x, plain.x * unit)
        assert torch.equal(found.gap, plain.gap)
        assert torch.equal(found.scale, plain.scale)


@pytest.mark.parametrize("c", [1e4, -1e6])
@pytest.mark.parametrize("ends", [(-1.0, 2.0), (-1e6, 1e6)])
def test_a_constant_changes_nothing(c: float, ends: tuple[float, float]) -> None:
    plain, moved = (decide(Atoms(0, c=value), Box(3, *ends), rtol=1e-5) for value in (0.0, c))
    assert plain.certified.all()
    assert moved.certified.all()
    assert float(moved.scale[0]) == pytest.approx(float(plain.scale[0]), rel=1e-4)
    assert float(moved.value[0]) - c == pytest.approx(float(plain.value[0]), abs=2e-5 * float(plain.scale[0]))


def test_x_shifted_with_its_set_is_decided_alike() -> None:
    shift = np.array([1e3, -50.0, 7.0])
    here, there = decide(Atoms(0), Box(3, -1, 1)), decide(Atoms(0, shift=shift), Box(3, shift - 1, shift + 1))
    assert here.certified.all()
    assert there.certified.all()
    assert float(there.scale[0]) == pytest.approx(float(here.scale[0]), rel=1e-4)
    assert float(there.value[0]) == pytest.approx(float(here.value[0]), abs=2.0 * SHARE * float(here.scale[0]))


def test_narrow_sets_are_judged_by_how_much_f_varies_over_them() -> None:
    for feasible_set in (Box(3, -1, 1), Simplex(3)):
        found = decide(Atoms(0), feasible_set)
        corners = feasible_set.sample_boundary(500, generator(2))
        spread = float((Atoms(0)(corners) - found.value).max())
        assert 0.2 * spread < float(found.scale[0]) < 5.0 * spread


@pytest.mark.parametrize("kind", ["network", "module"])
def test_the_search_begins_within_the_ranges_of_the_data(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    activation = "relu" if kind == "network" else "softplus"
    model = SOCICNN(3, (8,), quadratic=(3,), activation=activation, **started(0))  # type: ignore[misc]
    searched: list[Box] = []
    within = search._within

    def noted(problem: search.Search, *rest: Any) -> Any:
        assert isinstance(problem.feasible_set, Box)
        searched.append(problem.feasible_set)
        return within(problem, *rest)

    monkeypatch.setattr(search, "_within", noted)
    plain = decide(model, Box(3, -1e6, 1e6))
    model.ranges = Ranges([-4.0] * 3, [5.0] * 3)
    searched.clear()
    found = decide(model, Box(3, -1e6, 1e6))
    assert searched[0].config() == {"n": 3, "lower": [-4.0] * 3, "upper": [5.0] * 3}
    assert found.certified.all()
    assert float(found.value[0]) == pytest.approx(float(plain.value[0]), abs=1e-6 * float(found.scale[0]))
    model.ranges = Ranges([4.0] * 3, [5.0] * 3)  # the minimum is elsewhere: the search goes on
    away = decide(model, Box(3, -1e6, 1e6))
    assert float(away.value[0]) == pytest.approx(float(plain.value[0]), abs=1e-5 * float(away.scale[0]))


@pytest.mark.parametrize("unit", [1.0, 1e-2, 1e-4])
def test_a_minimum_at_the_anchor_itself_is_certified(unit: float) -> None:
    """The slope there is rounding, and so is how near x comes to a kink; the middle of a simplex lies on a ray."""
    net = SOCICNN(3, (8,), quadratic=(3,), activation="softplus", **started(1))

    class Centred(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.net((x - 1.0 / 3.0) / unit)  # type: ignore[no-any-return]

    # a step of x in float64 moves f by more than 1e-6 of its size in the smallest unit
    answer = decide(Centred(), Simplex(3), rtol=1e-6 if unit >= 1e-2 else 1e-5)
    assert answer.certified.all(), answer.status
    assert float(answer.scale[0]) > 0.01


class Many(nn.Module):
    """Softplus atoms of n inputs with a quadratic."""

    def __init__(self, n: int) -> None:
        super().__init__()
        draw = generator(n)
        self.A = torch.randn(30, n, generator=draw, dtype=torch.float64) / n**0.5
        self.c = torch.randn(n, generator=draw, dtype=torch.float64)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return one value per row."""
        return nn.functional.softplus(x @ self.A.T).sum(dim=-1) + 0.5 * (x - self.c).square().sum(dim=-1)


@pytest.mark.parametrize("n", [201, 300])
def test_more_than_two_hundred_inputs_have_a_bound_over_wide_boxes(n: int) -> None:
    model = Many(n)
    near = decide(model, Box(n, -NARROW, NARROW))
    far = decide(model, Box(n, -1e12, 1e12))
    assert near.ok
    assert far.ok
    assert abs(float(far.value - near.value)) <= SHARE * float(near.scale)


def test_where_no_bound_is_tried_the_decision_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module_surrogate, "LARGEST_RIM", 2)
    far = decide(Many(3), Box(3, -1e12, 1e12))
    assert not far.ok
    assert "takes a Hessian" in far.status
    assert "takes a Hessian" not in decide(Many(3), Box(3, -NARROW, NARROW)).status
