"""Compiled loops give decisions that are proven as any others, and what they lose goes to the other methods."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from decision import Box, Budget, Simplex, decide
from decision._minimise import judging
from decision._minimise.compiled import method
from decision._minimise.compiled.loops import factor, solve_factored
from decision._minimise.compiled.state import Common, Vectors
from decision.sets._base import FeasibleSet
from socicnn._arrays import Array
from socicnn.frozen import FrozenNet, Norm
from tests.support.stacks import random_stack, softplus

SETS = [Simplex(5), Box(5, -1.0, 2.0), Box(5, 0.3, 5.0), Budget(5, 2.0), Budget(5, 1.0, equality=True)]


def nets() -> dict[str, FrozenNet]:
    """Return stacks with and without units, quadratics and norms; some weights are zero."""
    whole = random_stack(2, widths=(6,))
    C = np.random.default_rng(0).normal(size=(8, 5))
    many = [Norm(0.1 + 0.01 * i, C + i, np.arange(8.0) - i, group=2) for i in range(3)]
    return {
        "whole": whole,
        "no units": random_stack(3, widths=()),
        "no norms": replace(whole, norms=[]),
        "no quadratics": replace(whole, quadratics=[]),
        "units alone": replace(whole, norms=[], quadratics=[]),
        "linear": replace(random_stack(3, widths=()), norms=[], quadratics=[]),
        "many norms": replace(whole, norms=many),
        "one context": whole[1],
        "softplus": softplus(whole, 0.4),
        "several kinds": softplus(replace(whole, norms=[]), np.array([0.0, 0.2, 0.4, 0.0, 2.0, 0.3])),
    }


def watched(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the numbers of contexts that go to other methods, to be filled."""
    rest: list[int] = []
    usual = judging.minimise

    def counting(search, *arguments):
        rest.append(len(search.surrogate))
        return usual(search, *arguments)

    monkeypatch.setattr(judging, "minimise", counting)
    return rest


@pytest.mark.parametrize("feasible_set", SETS, ids=repr)
@pytest.mark.parametrize("name", nets())
def test_decisions_are_those_of_the_batched_method(
    name: str, feasible_set: FeasibleSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = nets()[name]
    rest = watched(monkeypatch)
    found = decide(net, feasible_set)
    assert found.ok
    assert not rest, "the loops lost a context"
    assert (found.iterations <= method.LIMIT).all()
    reference = decide(net, feasible_set, method="interior_point", rtol=1e-8)
    assert ((found.value - reference.value).abs() <= found.gap + reference.gap).all()


@pytest.mark.parametrize("scale", [2.0**-60, 2.0**60])
def test_units_of_f_change_nothing(scale: float) -> None:
    plain = decide(random_stack(2, widths=(6,)), Simplex(5))
    scaled = decide(random_stack(2, widths=(6,), scale=scale), Simplex(5))
    assert torch.equal(plain.x, scaled.x)


def test_what_the_loops_lose_goes_to_the_other_methods(monkeypatch: pytest.MonkeyPatch) -> None:
    net, region = nets()["whole"], Simplex(5)
    usual = method._followed

    def broken(common: Common, vectors: Vectors, begin: Array, goal: object) -> tuple[torch.Tensor, ...]:
        x, lam, u, counts = usual(common, vectors, begin, goal)
        x[0], x[2], lam[2] = torch.nan, shape_corner(common), torch.inf
        return x, lam, u, counts

    monkeypatch.setattr(method, "_followed", broken)
    rest = watched(monkeypatch)
    found = decide(net, region)
    assert found.ok
    assert rest == [2]


def shape_corner(common: Common) -> torch.Tensor:
    return torch.eye(common.B.shape[1], dtype=torch.float64)[0]


def test_without_numba_the_answers_are_proven_too(monkeypatch: pytest.MonkeyPatch) -> None:
    net, region = nets()["whole"], Simplex(5)
    compiled = decide(net, region)
    monkeypatch.setattr(method, "installed", lambda: False)
    rest = watched(monkeypatch)
    plain = decide(net, region)
    assert rest == [4]
    assert plain.ok
    assert ((compiled.value - plain.value).abs() <= compiled.gap + plain.gap).all()


@pytest.mark.parametrize("n", [1, 5, 48, 49, 130])
def test_factors_solve(n: int) -> None:
    rng = np.random.default_rng(n)
    half = rng.normal(size=(n, n + 3))
    M = half @ half.T
    r = rng.normal(size=n)
    L = M.copy()
    assert factor(L)
    expected = np.linalg.solve(M, r)
    solve_factored(L, r)
    np.testing.assert_allclose(r, expected, rtol=1e-6, atol=1e-9)
    M[n - 1, n - 1] = -1.0
    assert not factor(M)
