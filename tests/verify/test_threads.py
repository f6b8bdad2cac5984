"""Certifying in eight threads and in forked processes gives what one thread gives."""

from __future__ import annotations

import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from socicnn._arrays import Array
from tests.support.frozen_nets import random_net
from verify import certify

NET = random_net(3)
POINTS = [np.random.default_rng(seed).normal(size=(20, NET.in_features)) for seed in range(8)]


def bracket(x: Array, proof: Any = True) -> Array:
    """Return forward values, gaps and brackets at some points."""
    found = certify(NET, x, proof=proof)
    assert found.ok
    assert found.lo is not None
    assert found.hi is not None
    return np.stack([found.forward, found.gap, found.lo, found.hi])


@pytest.mark.parametrize("proof", [True, "balls"])
def test_eight_threads_give_what_one_gives(proof: Any) -> None:
    alone = [bracket(x, proof) for x in POINTS]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda x: bracket(x, proof), POINTS * 3))
    assert all(map(np.array_equal, together, alone * 3))


@pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_forked_workers_give_what_the_parent_gives() -> None:
    """A frozen network is proven by NumPy and SciPy alone, which a fork leaves whole."""
    alone = [bracket(x) for x in POINTS]
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as pool:
        assert all(map(np.array_equal, pool.map(bracket, POINTS, timeout=60), alone))
