"""The bound that keeps what grows is below exact minima, and close to them however wide the box is."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from scipy import sparse

from decision import Box, decide
from decision._minimise.growth import growth_bound, least_curvature
from decision._minimise.local import first_box, on_inner_side, wider_box
from decision._minimise.stack import Dual, Stack
from decision._minimise.stack_surrogate import StackSurrogate
from socicnn.frozen import FrozenNet, Layer, Norm, Output, Quadratic


def separable(rng: np.random.Generator, n: int) -> tuple[FrozenNet, Fraction]:
    """Return sum_j beta a_j^2 (x_j - m_j)^2 + v_j x_j, and its minimum over all x in exact rationals."""
    a, m, v = rng.uniform(0.1, 3, n), rng.normal(size=n), rng.normal(size=n)
    beta = float(rng.uniform(0.1, 2))
    e = -a * m  # rounded once; the network is what its arrays say
    least = Fraction(0)
    for a_j, e_j, v_j in zip(a.tolist(), e.tolist(), v.tolist(), strict=True):
        A, E, V, B = (Fraction(value) for value in (a_j, e_j, v_j, beta))
        x = -(V / (2 * B * A) + E) / A
        least += B * (A * x + E) ** 2 + V * x
    return FrozenNet([], Output([], v), [Quadratic(beta, np.diag(a), e)]), least


@pytest.mark.parametrize("n", [1, 3, 10])
@pytest.mark.parametrize("width", [1e2, 1e6, 1e12, 1e20])
def test_below_the_exact_minimum_and_near_it(n: int, width: float) -> None:
    rng = np.random.default_rng(n)
    for _ in range(20):
        net, least = separable(rng, n)
        quadratic = net.quadratics[0]
        a, beta = np.diag(quadratic.A), float(quadratic.beta[0])
        best = -(net.output.v[0] / (2 * beta * a) + quadratic.e[0]) / a
        for off in (0.0, 1e-9, 1e-6, 1e-2):
            stack = Stack.of(net)
            x = torch.tensor((best + off)[None])
            bound = growth_bound(stack, Box(n, -width, width), x, stack.zero_dual(x), torch.zeros(1))
            assert Fraction(float(bound[0])) <= least
            assert float(least) - float(bound[0]) <= 1e4 * n * off**2 + 1e-12 * (10 + abs(float(least)))


@pytest.mark.parametrize("width", [1e2, 1e6, 1e12, 1e20])
def test_kinks_hold_x_as_quadratics_do(width: float) -> None:
    """sum_j c_j |x_j - m_j| + v'x with |v_j| < c_j, and gamma ||x - m|| + v'x with ||v|| < gamma: least v'm, at m."""
    rng = np.random.default_rng(7)
    for n in (1, 2, 5):
        for off in (0.0, 1e-9, 1e-7):
            m, c = rng.normal(size=n), rng.uniform(1, 2, n)
            v = 0.7 * rng.uniform(-1, 1, n) / np.sqrt(n)
            units = Layer(None, np.vstack([np.eye(n), -np.eye(n)]), np.concatenate([-m, m]))
            least = sum((Fraction(a) * Fraction(b) for a, b in zip(v.tolist(), m.tolist(), strict=True)), Fraction(0))
            x = torch.tensor((m + off)[None])
            inside = torch.tensor(np.concatenate([(c - v) / 2, (c + v) / 2])[None])
            for net, dual in (
                (FrozenNet([units], Output(np.concatenate([c, c]), v)), Dual((inside,), (), ())),
                (
                    FrozenNet([], Output([], v), norms=[Norm(2.0, np.eye(n), -m)]),
                    Dual((), (torch.tensor(-v[None] / 2),), ()),
                ),
            ):
                bound = growth_bound(Stack.of(net), Box(n, -width, width), x, dual, torch.zeros(1))
                assert Fraction(float(bound[0])) <= least
                assert float(least) - float(bound[0]) <= 1e-10
                # multipliers at the ends of their boxes leave nothing that could hold x
                ends = replace(dual, lam=tuple(0 * one for one in dual.lam), u=tuple(one.sign() for one in dual.u))
                bound = growth_bound(Stack.of(net), Box(n, -width, width), x, ends, torch.zeros(1))
                assert bound.tolist() == [-torch.inf] or n > 1
                assert not bound.isfinite().any() or Fraction(float(bound[0])) <= least


def test_random_networks_in_wide_boxes() -> None:
    """The bound over a wide box is never above the value of the narrow one, which is a value of f."""
    rng = np.random.default_rng(3)
    relu = FrozenNet(
        [
            Layer(None, rng.normal(size=(12, 4)), rng.normal(size=(6, 12))),
            Layer(rng.uniform(size=(5, 12)), rng.normal(size=(5, 4)), rng.normal(size=5)),
        ],
        Output(rng.uniform(0.5, 1, size=5), np.zeros(4)),
        norms=[Norm(0.3, rng.normal(size=(4, 4)), rng.normal(size=4))],
    )
    narrow = decide(relu, Box(4, -20, 20), rtol=1e-9)
    for width in (1e5, 1e9, 1e12):
        wide = decide(relu, Box(4, -width, width))
        assert (wide.value - wide.gap <= narrow.value).all()
        np.testing.assert_allclose(wide.value.numpy(), narrow.value.numpy(), atol=1e-5)


def test_a_bound_that_is_active_holds_x() -> None:
    net = FrozenNet([], Output([], [3.0, 0.0]), [Quadratic(1.0, np.eye(2), [0.0, -1.0])])  # least at (0, 1) from 0 on
    stack = Stack.of(net)
    x = torch.tensor([[1e-9, 1.0]], dtype=torch.float64)
    bound = growth_bound(stack, Box(2, 0.0, 1e20), x, stack.zero_dual(x), torch.full((1,), 1e-6))
    assert -1e-12 <= float(bound[0]) <= 0.0


def test_without_growth_nothing_is_bounded() -> None:
    flat = Stack.of(FrozenNet([], Output([], [0.0, 0.0]), [Quadratic(1.0, [[1.0, 1.0]])]))
    assert least_curvature(flat).tolist() == [0.0]
    x = torch.zeros(1, 2, dtype=torch.float64)
    assert growth_bound(flat, Box(2, -1, 1), x, flat.zero_dual(x), torch.zeros(1)).tolist() == [-torch.inf]


def test_networks_too_large_for_dense_matrices_do_without() -> None:
    n = 65 * 65
    net = FrozenNet([], Output([], np.ones(n)), [Quadratic(1.0, sparse.eye_array(n, format="csr"))])
    stack = Stack.of(net)
    x = torch.zeros(1, n, dtype=torch.float64)
    bound = growth_bound(stack, Box(n, -1, 1), x, stack.zero_dual(x), torch.zeros(1))
    assert bound.tolist() == [-torch.inf]
    # where the first proof fails, no n x n entries per context are made
    [quadratic] = stack.quadratics
    surrogate = StackSurrogate.of(net)
    some = torch.ones(1, dtype=torch.float64)
    proof = surrogate.prove(Box(n, -1, 1), x, stack.zero_dual(x), some, -some)
    assert float(proof.below[0]) <= float(proof.above[0])
    assert quadratic.matrix._dense is None
    assert all(branch.matrix._dense is None for branch in surrogate.stack.quadratics)


def test_a_wide_box_of_many_inputs_is_still_proven() -> None:
    rng, n = np.random.default_rng(0), 1100
    squares = Quadratic(1.0, np.diag(rng.uniform(0.5, 2, n)), rng.normal(size=n))
    answer = decide(FrozenNet([], Output([], rng.normal(size=n)), [squares]), Box(n, -1e9, 1e9))
    assert bool(answer.certified.all())


@pytest.mark.parametrize("part", [2**24, 16])
def test_contexts_are_bounded_alike_in_parts(part: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("decision._minimise.growth.PART", part)
    rng = np.random.default_rng(1)
    A, e = rng.normal(size=(4, 4)) + 3 * np.eye(4), rng.normal(size=(5, 4))
    many = Stack.of(FrozenNet([], Output([], rng.normal(size=(5, 4))), [Quadratic(1.0, A, e)]))
    x = torch.from_numpy(rng.normal(size=(5, 4)))
    box, allowed = Box(4, -1e3, 1e3), torch.zeros(5, dtype=torch.float64)
    together = growth_bound(many, box, x, many.zero_dual(x), allowed)
    each = [
        growth_bound(many.take(i), box, x[i], many.take(i).zero_dual(x[i]), allowed[i])
        for i in torch.arange(5).split(1)
    ]
    torch.testing.assert_close(together, torch.cat(each), rtol=1e-12, atol=0)
    assert together.isfinite().all()


def test_least_curvature_is_a_bound() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        A = rng.normal(size=(6, 4)) * 10.0 ** rng.uniform(-3, 3, size=4)
        stack = Stack.of(FrozenNet([], Output([], [0.0] * 4), [Quadratic(0.5, A)]))
        assert float(least_curvature(stack)[0]) <= np.linalg.svd(A, compute_uv=False)[-1] ** 2


def test_the_search_begins_near_the_zeros_of_the_rows_and_grows() -> None:
    net = FrozenNet([Layer(None, np.eye(2), [-100.0, -101.0])], Output([1.0, 1.0], [0.0, -0.1]))
    box = Box(2, -1e9, 1e9)
    inner = first_box(Stack.of(net), box)
    assert inner is not None
    assert inner.violation(torch.tensor([[100.0, 101.0]], dtype=torch.float64)).tolist() == [0.0]
    assert inner.diameter < 1e5
    assert on_inner_side(torch.tensor([inner.ends(torch.zeros(1).double())[0].tolist()]).double(), inner, box).all()
    assert wider_box(inner, box).diameter == pytest.approx(16 * inner.diameter)
    assert first_box(Stack.of(net), Box(2, 99.0, 102.0)) is None
