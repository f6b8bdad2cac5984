"""The bounds of a decision hold in real arithmetic: checked with rational numbers, on wild guesses and cancellation."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from decision import Box, decide
from decision._minimise.bounds import lower_bound, minorant, repaired, upper_bound
from decision._minimise.stack import Dual, Stack
from socicnn.frozen import FrozenNet, Layer, Output, Quadratic
from tests.support.exact import exact_value
from tests.support.stacks import random_dual, random_stack
from verify._proof.columns import NetColumns
from verify._proof.minorant import minorant as minorant_of
from verify._proof.network import Prover

BOX = Box(5, -1.0, 1.0)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize(("widths", "inside"), [((), False), ((6,), True), ((9, 7), False), ((4, 3, 5), True)])
def test_bounds_enclose_the_exact_value(widths: tuple[int, ...], inside: bool, scale: float) -> None:
    net = random_stack(7, widths=widths, inside=inside, scale=scale)
    stack = Stack.of(net)
    x = BOX.sample(len(stack), torch.Generator().manual_seed(0))
    upper = upper_bound(stack, x)
    for seed in range(5):
        lower = lower_bound(stack, BOX, random_dual(stack, seed))
        for i in range(len(stack)):
            low, high = exact_value(net[i], x[i].numpy())
            assert Fraction(float(lower[i])) <= low
            assert high <= Fraction(float(upper[i]))


@pytest.mark.parametrize(("widths", "inside"), [((), False), ((6,), True), ((4, 3, 5), True)])
def test_the_upper_end_is_the_verifiers_own(widths: tuple[int, ...], inside: bool) -> None:
    """One pass in NumPy and in torch: the same margins, the same order of sums but within a matrix product."""
    net = random_stack(7, widths=widths, inside=inside)
    x = BOX.sample(4, torch.Generator().manual_seed(0))
    bracket = Prover(net)(x.numpy())
    width = bracket.hi - bracket.lo
    assert (np.abs(upper_bound(Stack.of(net), x).numpy() - bracket.hi) < 0.2 * width).all()


def test_the_minorant_is_one_code_for_numpy_and_torch() -> None:
    net = random_stack(7, widths=(4, 3, 5), inside=True)
    stack = Stack.of(net)
    dual = repaired(stack, random_dual(stack, 1))
    line = minorant(stack, dual)
    own = minorant_of(NetColumns.of(net), *([part.numpy().T for part in group] for group in (dual.lam, dual.u, dual.p)))
    assert (np.abs(own.slope.T - line.slope.numpy()) <= 1e-14 * line.slope_size.numpy()).all()
    assert (np.abs(own.offset - line.offset.numpy()) <= 1e-14 * line.offset_size.numpy()).all()
    assert own.terms == line.terms


@pytest.mark.parametrize(("widths", "inside"), [((6,), True), ((9, 7), False), ((4, 3, 5), True)])
def test_repaired_duals_are_feasible_in_real_arithmetic(widths: tuple[int, ...], inside: bool) -> None:
    net = random_stack(3, widths=widths, inside=inside)
    stack = Stack.of(net)
    dual = repaired(stack, random_dual(stack, 1))
    for i in range(len(stack)):
        box = [Fraction(float(w)) for w in stack.w[i]]
        for k in reversed(range(len(widths))):
            lam = [Fraction(float(value)) for value in dual.lam[k][i]]
            assert all(0 <= one <= bound for one, bound in zip(lam, box, strict=True))
            rows = [[Fraction(float(entry)) for entry in row] for row in np.asarray(net.layers[k].W)]
            box = [sum(row[j] * one for row, one in zip(rows, lam, strict=True)) for j in range(len(rows[0]))]
        for branch, u in zip(stack.norms, dual.u, strict=True):
            for group in branch.grouped(u[i : i + 1])[0]:
                assert sum(Fraction(float(entry)) ** 2 for entry in group) <= 1


def test_margins_are_needed_and_enough() -> None:
    """f(x) = v'x + c with c = -v'x* rounded: without margins the bound would be above the minimum in many of these."""
    broken = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        v = rng.normal(size=7) * 10.0 ** rng.integers(-3, 4, size=7)
        lower, upper = -rng.random(7), rng.random(7)
        X = Box(7, lower.tolist(), upper.tolist())
        corner = np.where(v > 0, lower, upper)
        net = FrozenNet([], Output([], v, -float(v @ corner)))
        stack = Stack.of(net)
        dual = stack.zero_dual(torch.zeros(1, 7, dtype=torch.float64))
        exact = sum(Fraction(a) * Fraction(b) for a, b in zip(v, corner, strict=True)) + Fraction(
            float(net.output.c[0])
        )
        line = minorant(stack, dual)
        naive = float((line.slope[0] * torch.as_tensor(corner)).sum() + line.offset[0])
        broken += Fraction(naive) > exact
        assert Fraction(float(lower_bound(stack, X, dual)[0])) <= exact
        assert exact <= Fraction(float(upper_bound(stack, torch.as_tensor(corner)[None])[0]))
        assert float(upper_bound(stack, torch.as_tensor(corner)[None])[0]) - float(exact) < 1e-14 * np.abs(v).sum()
    assert broken > 5


def test_the_right_dual_gives_a_tight_bound() -> None:
    """f(x) = 2 relu(x - 1/2) - x + (x + 1)^2 on [-1, 1]: at the minimiser -1/2 its unit is off."""
    net = FrozenNet([Layer(None, [[1.0]], [-0.5])], Output([2.0], [-1.0]), [Quadratic(1.0, [[1.0]], [1.0])])
    stack = Stack.of(net)
    x = torch.tensor([[-0.5]], dtype=torch.float64)
    tight = Dual((torch.zeros(1, 1, dtype=torch.float64),), (), stack.images(x))
    assert 0 <= 0.75 - float(lower_bound(stack, Box(1, -1.0, 1.0), tight)[0]) < 1e-13
    loose = Dual((torch.ones(1, 1, dtype=torch.float64),), (), stack.images(x))
    assert float(lower_bound(stack, Box(1, -1.0, 1.0), loose)[0]) < 0.7


def test_a_guess_that_is_no_number_bounds_nothing() -> None:
    stack = Stack.of(random_stack(0))
    dual = random_dual(stack, 0)
    dual.u[0][2, 0] = torch.nan
    dual.lam[1][1, 0] = torch.inf
    lower = lower_bound(stack, BOX, dual)
    assert lower[2] == -torch.inf
    assert lower[[0, 1, 3]].isfinite().all()  # an infinite multiplier is cut back into its box


@pytest.mark.parametrize(
    ("w", "u", "b", "reach"),
    [(1e-200, 1e-200, 1e101, 1e300), (1e-165, 1e-165, 1e-60, 1e100), (1e-162, 1e-162, 1e-100, 1e60)],
)
def test_slopes_that_underflow_before_they_meet_a_huge_set(w: float, u: float, b: float, reach: float) -> None:
    """f(x) = w relu(u x + b) on [-reach, reach]: the slope w u is 0 in float64, its product with the set is not."""
    net = FrozenNet([Layer(None, [[u]], [b])], Output([w], [0.0]))
    stack = Stack.of(net)
    dual = Dual((torch.full((1, 1), w, dtype=torch.float64),), (), ())
    least = Fraction(w) * max(Fraction(u) * Fraction(-reach) + Fraction(b), 0)
    assert Fraction(float(lower_bound(stack, Box(1, -reach, reach), dual)[0])) <= least
    for method in ("auto", "exact"):  # whose units of f and of x may have a product that overflows
        answer = decide(net, Box(1, -reach, reach), method=method)
        assert Fraction(float(answer.value)) - Fraction(float(answer.gap)) <= least
