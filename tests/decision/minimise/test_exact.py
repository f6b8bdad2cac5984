"""Exact solves, one after the other; their bounds, block by block."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from decision import Simplex, decide
from decision._minimise import exact
from socicnn.conic.solvers import Prepared
from socicnn.frozen import FrozenNet
from tests.support.frozen_nets import random_net


def stacked(contexts: int) -> FrozenNet:
    net = random_net(3)
    moves = np.random.default_rng(0).normal(size=(contexts, 4))
    return replace(net, output=replace(net.output, v=net.output.v + moves, c=np.zeros(contexts)))


@pytest.mark.parametrize("block", [2, 256])
def test_a_batch_has_the_bounds_of_single_contexts(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact, "BLOCK", block)  # the last block is not full
    net = stacked(5)
    together = decide(net, Simplex(4), method="exact")
    assert bool(together.certified.all())
    assert together.iterations.tolist() == [1] * 5
    for i in range(5):
        apart = decide(net[i], Simplex(4), method="exact")
        assert abs(float(together.value[i] - apart.value[0])) <= float(together.gap[i] + apart.gap[0])
        assert float(together.gap[i]) <= 2 * float(apart.gap[0]) + 1e-9


def test_a_context_without_a_solution_leaves_the_others_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    solve, count = Prepared.solve, iter(range(100))

    def broken(self, *vectors):
        found = solve(self, *vectors)
        return replace(found, v=np.full_like(found.v, np.nan), ok=False) if next(count) == 1 else found

    monkeypatch.setattr(Prepared, "solve", broken)
    found = decide(stacked(3), Simplex(4), method="exact")
    assert found.certified.tolist() == [True, False, True]
    assert torch.isfinite(found.x).all()
    assert "1 of 3 contexts" in found.status
