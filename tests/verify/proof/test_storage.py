"""Provers leave no trace outside, and read matrices however they are stored."""

import threading
from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

import verify
from socicnn._compile import compile_net
from socicnn.frozen import FrozenNet, Layer, Output
from tests.support.frozen_nets import random_net
from verify._core.structure import differences, monotone
from verify._proof.balls import BallProver
from verify._proof.program import ProgramProver

flint = pytest.importorskip("flint")


def in_parts(matrix: sparse.csc_array) -> sparse.csc_array:
    """Return the same matrix with every entry stored as two that sum to it."""
    sums = np.repeat(matrix.data, 2) / 2
    return type(matrix)((sums, np.repeat(matrix.indices, 2), 2 * matrix.indptr), shape=matrix.shape)


@pytest.mark.parametrize("seed", range(4))
def test_entries_stored_in_parts_are_summed(seed: int) -> None:
    net = random_net(seed)
    program, x = compile_net(net).program, np.random.default_rng(seed).normal(size=(6, net.in_features))
    split = replace(program, A=in_parts(program.A), B=in_parts(program.B))
    assert split.A.nnz == 2 * program.A.nnz
    whole, parts = ProgramProver(program)(x), ProgramProver(split)(x)
    assert np.array_equal(whole.lo, parts.lo)
    assert np.array_equal(whole.hi, parts.hi)
    assert monotone(split) == differences(split, net) == []
    assert verify.equivalence(net, x, program=split, solvers=(), proof=True).ok
    assert split.A.nnz == 2 * program.A.nnz  # what was given is left as it was


def test_the_precision_of_flint_is_left_as_it_was() -> None:
    """In threads too: each bracket is as narrow as alone."""
    net, x = random_net(3, 6, (8, 8)), np.random.default_rng(0).normal(size=(20, 6))
    alone, before = BallProver(net)(x), flint.ctx.prec
    found = {}

    def work(index: int, bits: int) -> None:
        found[index] = BallProver(net, bits)(x)

    threads = [threading.Thread(target=work, args=(i, 64 if i % 2 else 128)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert flint.ctx.prec == before
    for index in range(0, 8, 2):
        assert np.array_equal(found[index].lo, alone.lo)
        assert np.array_equal(found[index].hi, alone.hi)


def test_lower_bounds_without_rows_and_without_inputs() -> None:
    affine = FrozenNet([], Output([], [1.0, 2.0], 0.5))
    assert verify.lower_bound(affine, np.ones((3, 2)), np.zeros((3, 0))) == pytest.approx([3.5] * 3)
    constant = FrozenNet([Layer(None, None, [1.0])], Output([2.0], [], 0.5))
    assert verify.lower_bound(constant, np.ones((3, 0)), np.full((3, 2), 9.0)) == pytest.approx([2.5] * 3)
    assert verify.certify(constant, np.ones((3, 0)), proof="balls").ok
    assert verify.equivalence(FrozenNet([], Output([], [], 0.5)), np.ones((2, 0)), proof=True).ok
