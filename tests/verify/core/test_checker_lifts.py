"""The trusted core on the cones of quadratics: plain and balanced lifts, and what only looks like one."""

from dataclasses import replace

import numpy as np
import pytest

from socicnn.compile import compile_net
from tests.support.certificates import check
from tests.support.frozen_nets import random_net
from tests.support.mutants import stored, with_entry
from verify.core.checker import Checker


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


@pytest.mark.parametrize("column", ["first", "second", "offset", "head", "inputs"])
def test_a_lift_that_is_not_exact_fails(column: str) -> None:
    compiled = compile_net(random_net(9))
    program = compiled.program
    head = int(program.lifts.heads[0])
    entries = stored(program, "A", "quadratic1")
    if column in ("first", "second"):
        at = entries[program.A.indices[entries] == head + (column == "second")]
        mutant = with_entry(program, "A", at, -0.51)
    elif column == "offset":
        mutant = with_entry(program, "b", head + 1, -0.49)
    elif column == "head":
        mutant = replace(program, lifts=replace(program.lifts, heads=program.lifts.heads + 1))
    else:
        B = program.B.tolil()
        B[head, 0] = 1e-3
        mutant = replace(program, B=type(program.B)(B))
    x = np.random.default_rng(0).normal(size=(4, 4))
    assert not check(compiled, x, program=mutant).ok.any()


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

    from socicnn.conic.blocks import Lifts
    from socicnn.conic.cones import Cones
    from socicnn.conic.program import ValueProgram

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
