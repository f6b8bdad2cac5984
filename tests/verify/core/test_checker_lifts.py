"""The trusted core on the cones of quadratics: plain and balanced lifts, and what only looks like one."""

from dataclasses import replace

import numpy as np
import pytest

from socicnn._compile import compile_net
from socicnn.conic._program import ValueProgram
from tests.support.certificates import check
from tests.support.frozen_nets import random_net
from tests.support.mutants import stored, with_entry
from verify._core.checker import Checker


def test_plain_and_balanced_lifts_are_both_understood() -> None:
    compiled = compile_net(random_net(9))
    x = 30 * np.random.default_rng(2).normal(size=(6, 4))
    balanced = compiled.witness(x)
    plain = compiled.program.scales(x) * 0 + 1
    assert (balanced.k != plain).any()
    single = compiled.program.rescaled(balanced.k[0])
    checked = Checker(compiled.program)(
        x, balanced.v, balanced.y, compiled.net(x), balanced.k, scale=np.abs(compiled.net(x))
    )
    rescaled = Checker(single)(
        x[:1], balanced.v[:1], balanced.y[:1], compiled.net(x[:1]), scale=np.abs(compiled.net(x[:1]))
    )
    assert checked.ok.all()
    assert rescaled.ok.all()
    assert rescaled.value[0] == pytest.approx(checked.value[0], rel=1e-14)
    assert not Checker(compiled.program)(
        x, balanced.v, balanced.y, compiled.net(x), plain, scale=np.abs(compiled.net(x))
    ).ok.any()


COMPILED = compile_net(random_net(9))
HEAD = int(
    COMPILED.program.lifts.heads[0]
)  # row of s_0 = (t + k) / 2 of the first quadratic; s_1 = (t - k) / 2 is next


def fails_everywhere(mutant: ValueProgram) -> bool:
    """Return whether the core rejects the mutant, with the honest witness, at every one of four points."""
    x = np.random.default_rng(0).normal(size=(4, 4))
    return not check(COMPILED, x, program=mutant).ok.any()


@pytest.mark.parametrize("row", [HEAD, HEAD + 1], ids=["s_0", "s_1"])
def test_a_half_that_is_not_exactly_one_half_fails(row: int) -> None:
    """Both rows hold -1/2 in the column of t."""
    entries = stored(COMPILED.program, "A", "quadratic1")
    at = entries[COMPILED.program.A.indices[entries] == row]
    assert fails_everywhere(with_entry(COMPILED.program, "A", at, -0.51))


def test_an_offset_that_is_not_minus_one_half_fails() -> None:
    assert fails_everywhere(with_entry(COMPILED.program, "b", HEAD + 1, -0.49))


def test_a_lift_said_to_begin_one_row_later_fails() -> None:
    lifts = replace(COMPILED.program.lifts, heads=COMPILED.program.lifts.heads + 1)
    assert fails_everywhere(replace(COMPILED.program, lifts=lifts))


def test_a_lift_whose_head_depends_on_x_fails() -> None:
    B = COMPILED.program.B.tolil()
    B[HEAD, 0] = 1e-3
    assert fails_everywhere(replace(COMPILED.program, B=type(COMPILED.program.B)(B)))


@pytest.mark.parametrize("scale", [0.0, -1.0, np.inf])
def test_a_scale_that_is_not_positive_fails(scale: float) -> None:
    """Only for k > 0 does t = k t' map the second-order cone onto itself."""
    compiled = compile_net(random_net(9))
    x = np.random.default_rng(2).normal(size=(3, 4))
    witness = compiled.witness(x)
    k = witness.k.copy()
    k[1] = scale
    checked = Checker(compiled.program)(x, witness.v, witness.y, compiled.net(x), k, scale=np.abs(compiled.net(x)))
    assert checked.ok.tolist() == [True, False, True]
    assert checked.residuals["lift_scale"][1] == np.inf


def test_a_lift_must_be_the_head_of_a_cone() -> None:
    """Two equal rows past the head would rescale alike, but the cone would not be mapped onto itself."""
    from scipy import sparse

    from socicnn.conic._blocks import Lifts
    from socicnn.conic._cones import Cones

    program = ValueProgram(
        A=sparse.csc_array(np.array([[-1.0, 0.0], [0.0, -0.5], [0.0, -0.5]])),
        B=sparse.csr_array((3, 1)),
        b=np.array([0.0, 0.5, -0.5]),
        q=np.array([1.0, 0.0]),
        d=np.zeros(1),
        r=np.zeros(()),
        cones=Cones(0, 0, (3,)),
        lifts=Lifts(np.array([1]), np.array([1]), np.array([2])),
    )
    v, y = np.array([[2**0.5 / 2, 0.0]]), np.array([[1.0, -(0.5**0.5), 0.5**0.5]])
    plain = replace(program, lifts=Lifts())
    assert Checker(plain)(np.zeros((1, 1)), v, y, v[:, 0], scale=v[:, 0]).ok.all()
    for k in (0.25, 1.0, 4.0):
        assert not Checker(program)(np.zeros((1, 1)), v, y, v[:, 0], np.array([[k]]), scale=v[:, 0]).ok.any()
