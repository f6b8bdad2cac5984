"""The trusted core: what it accepts, what it rejects, and by which tolerance."""

from dataclasses import replace

import numpy as np
import pytest

from socicnn._compile import Compiled, compile_net
from socicnn.conic._blocks import Block
from socicnn.frozen import FrozenNet, Layer, Norm, Output, Quadratic
from tests.support.certificates import check
from tests.support.frozen_nets import NETS, random_net
from tests.support.mutants import block, nudged_witnesses, stored, with_entry
from verify._core.checker import Checker


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("scale", [1e-6, 1e-2, 1.0, 1e2, 1e4, 1e6])
def test_honest_networks_pass(name: str, scale: float) -> None:
    compiled = compile_net(random_net(1, scale=scale, **NETS[name]))
    x = scale * np.random.default_rng(0).normal(size=(20, compiled.net.in_features))
    checked = check(compiled, x)
    assert checked.ok.all(), {n: (r.max(), checked.tolerances.get(n)) for n, r in checked.residuals.items()}


def test_500_random_networks_are_never_rejected() -> None:
    rng = np.random.default_rng(7)
    for seed in range(500):
        hidden = tuple(rng.integers(1, 12, size=rng.integers(0, 4)))
        branches = [tuple(rng.integers(1, 6, size=rng.integers(0, 3))) for _ in range(2)]
        net = random_net(
            seed, int(rng.integers(1, 8)), hidden, *branches, scale=10.0 ** rng.uniform(-6, 6), zeros=rng.uniform(0, 1)
        )
        x = 10.0 ** rng.uniform(-6, 6) * rng.normal(size=(6, net.in_features))
        x[0] = 0
        checked = check(compile_net(net), x)
        assert checked.ok.all(), (seed, {n: r.max() for n, r in checked.residuals.items()})


@pytest.mark.parametrize("rows", [(767, 1537), (3, 2000, 2000, 5)])
def test_branches_of_many_rows_are_one_cone_each(rows: tuple[int, ...]) -> None:
    compiled = compile_net(random_net(2, 3, (4,), rows, (900,)))
    x = np.random.default_rng(0).normal(size=(4, 3))
    checked = check(compiled, x)
    assert checked.ok.all()
    assert np.allclose(checked.value, compiled.net(x), rtol=1e-13)
    offset = compiled.program.b.copy()
    offset[-1] += 0.5  # in the last row of the last cone
    assert not check(compiled, x, replace(compiled.program, b=offset)).ok.any()


def test_kinks_pass() -> None:
    """Units at a = 0 and norms and squares of the zero vector."""
    rng = np.random.default_rng(3)
    point = rng.integers(-4, 5, size=5).astype(float)
    U, C = rng.integers(-3, 4, size=(6, 5)).astype(float), rng.integers(-3, 4, size=(3, 5)).astype(float)
    net = FrozenNet(
        [Layer(None, U, -U @ point), Layer(np.ones((2, 6)), None, np.zeros(2))],
        Output([1.0, 2.0], rng.normal(size=5), 0.5),
        [Quadratic(2.0, C, -C @ point)],
        [Norm(3.0, C, -C @ point), Norm(1.0, C, None, group=1)],
    )
    checked = check(compile_net(net), np.stack([point, np.zeros(5), point + 1e-9]))
    assert checked.ok.all()


def test_value_dual_and_slope_are_those_of_the_network() -> None:
    net = random_net(5, 3)
    x = np.random.default_rng(1).normal(size=(8, 3))
    checked = check(compile_net(net), x)
    assert np.allclose(checked.value, net(x), rtol=1e-13)
    assert np.allclose(checked.dual, net(x), rtol=1e-13)
    for j in range(3):
        step = 1e-6 * np.eye(3)[j]
        slope = (net(x + step) - net(x - step)) / 2e-6
        assert np.allclose(checked.slope[:, j], slope, rtol=1e-5, atol=1e-6)


def test_no_witness_nudge_passes() -> None:
    """Every entry of v and y matters here: every cost and every multiplier is positive or bounded."""
    compiled = compile_net(random_net(2, 3, (4, 3), (2,), (2, 1), zeros=0.0))
    x = np.random.default_rng(4).normal(size=(5, 3))
    witness, forward = compiled.witness(x), compiled.net(x)
    checker = Checker(compiled.program)
    accepted = {
        name: np.flatnonzero(checker(x, w.v, w.y, forward, w.k, scale=np.abs(forward)).ok)
        for name, w in nudged_witnesses(witness)
        if checker(x, w.v, w.y, forward, w.k, scale=np.abs(forward)).ok.any()
    }
    assert not accepted


def test_a_shifted_dual_with_the_same_value_is_accepted() -> None:
    """At a kink every split of the multiplier is a dual point; none is singled out."""
    net = FrozenNet([Layer(None, [[1.0]], [0.0])], Output([2.0], [0.5]))
    compiled = compile_net(net)
    x, forward = np.zeros((3, 1)), np.zeros(3)
    y = np.array([[0.0, 2.0], [1.3, 0.7], [2.0, 0.0]])
    checked = Checker(compiled.program)(x, np.zeros((3, 1)), y, forward, scale=forward)
    assert checked.ok.all()
    assert np.allclose(checked.slope[:, 0], [0.5, 1.8, 2.5])
    outside = Checker(compiled.program)(
        x[:1], np.zeros((1, 1)), np.array([[2.5, -0.5]]), forward[:1], scale=forward[:1]
    )
    assert not outside.ok.any()
    assert outside.residuals["relu_dual_box"][0] == 0.5


def test_a_zero_gap_proves_nothing_alone() -> None:
    """A negated hidden weight where every unit is active: gap and ReLU residuals vanish, the signs give it away."""
    net = FrozenNet(
        [Layer(None, np.eye(2), [5.0, 5.0]), Layer([[1.0, 2.0]], None, [50.0])], Output([3.0], [0.0, 0.0]), [], []
    )
    compiled = compile_net(net)
    program = compiled.program
    negated = program.A.copy()
    rows, z1 = block(program, "relu2"), block(program, "z1")
    dense = negated.toarray()
    dense[rows, z1] *= -1
    mutant = replace(program, A=type(negated)(dense))
    x = np.array([[0.3, -0.4]])
    z1_ = x + 5.0
    z2 = np.array([[50.0 - z1_[0, 0] - 2 * z1_[0, 1]]])
    v = np.concatenate([z1_, z2], axis=1)
    y = np.array([[-3.0, -6.0, 0.0, 0.0, 3.0, 0.0]])  # the backward pass of the mutant: A'y + q = 0
    checked = Checker(mutant)(x, v, y, 3 * z2[0], scale=3 * z2[0])
    assert checked.residuals["gap"][0] < 1e-12
    assert checked.residuals["relu_primal"][0] == 0
    assert checked.residuals["relu_complementarity"][0] == 0
    assert checked.residuals["stationarity"][0] == 0
    assert checked.residuals["relu_dual_box"][0] == 6.0
    assert not checked.ok[0]


MUTANTS = ["negated_weight", "dropped_bias", "negated_bias", "beta_sign", "gamma_sign", "swapped_x", "w_sign", "radius"]


def mutate(compiled: Compiled, kind: str):
    program = compiled.program
    if kind == "negated_weight":
        inside = np.flatnonzero(program.A.data > 0)
        return with_entry(program, "A", inside, -program.A.data[inside])
    if kind in ("dropped_bias", "negated_bias"):
        factor = {"dropped_bias": 0.0, "negated_bias": -1.0}[kind]
        return with_entry(program, "b", block(program, "relu1"), factor * program.b[block(program, "relu1")])
    if kind in ("beta_sign", "gamma_sign", "w_sign"):
        columns = block(program, {"beta_sign": "t_quadratic1", "gamma_sign": "s_norm1", "w_sign": "z2"}[kind])
        return with_entry(program, "q", columns, -program.q[columns])
    if kind == "swapped_x":
        return replace(program, B=type(program.B)(program.B.toarray()[:, [1, 0, 2, 3]]))
    head = block(program, "norm1").start
    entry = stored(program, "A", "norm1")[:1]
    assert program.A.indices[entry[0]] == head
    return with_entry(program, "A", entry, 1.01 * program.A.data[entry])


@pytest.mark.parametrize("kind", MUTANTS)
def test_mutants_of_the_program_fail_wherever_the_value_changes(kind: str) -> None:
    compiled = compile_net(random_net(11, 4, scale=1.0))
    x = np.random.default_rng(5).normal(size=(50, 4))
    assert check(compiled, x).ok.all()
    mutant = mutate(compiled, kind)
    accepted = np.flatnonzero(check(compiled, x, program=mutant).ok)
    assert len(accepted) < 10
    for point in accepted:  # the units that were changed are inactive there
        assert mutant.at(x[point]).solve().value == pytest.approx(compiled.net(x[point])[0], rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("name", ["A", "B", "b", "q", "d", "r"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_program_that_is_not_finite_fails_everywhere(name: str, value: float) -> None:
    compiled = compile_net(random_net(3))
    mutant = with_entry(compiled.program, name, () if name == "r" else 0, value)
    checked = check(compiled, np.ones((4, 4)), program=mutant)
    assert not checked.ok.any()
    assert "finite_program" in checked.residuals


@pytest.mark.parametrize("part", ["v", "y", "k", "forward", "x"])
@pytest.mark.parametrize("value", [np.nan, np.inf, 1e308])
def test_a_witness_that_is_not_finite_fails_at_its_point_alone(part: str, value: float) -> None:
    compiled = compile_net(random_net(3))
    x = np.random.default_rng(0).normal(size=(5, 4))
    witness = compiled.witness(x)
    given = {"x": x, "v": witness.v, "y": witness.y, "forward": compiled.net(x), "k": witness.k}
    given = {name: array.copy() for name, array in given.items()}
    given[part][2, ...] = value
    ok = Checker(compiled.program)(**given, scale=np.ones(5)).ok
    assert ok.tolist() == [True, True, False, True, True]


def test_the_tolerance_is_exactly_that_of_the_data() -> None:
    """A row passes at 0.99 of its tolerance and fails at 1.01, at every scale of the data."""
    for scale in (1e-6, 1.0, 1e6):
        net = FrozenNet([Layer(None, [[2.0, -3.0]], [scale])], Output([1.0], [0.0, 0.0]))
        program = compile_net(net).program
        x = scale * np.array([[3.0, 1.0]])
        a = 4 * scale
        row_scale = 1 + a + (6 + 3) * scale + scale
        for factor, passes in ((0.99, True), (1.01, False)):
            v = np.array([[a - factor * 1e-12 * row_scale]])
            y = np.array([[1.0, 0.0]])
            checked = Checker(program)(x, v, y, np.array([a]), scale=np.array([a]))
            residual, tolerance = checked.residuals["relu_primal"][0], checked.tolerances["relu_primal"][0]
            assert (residual <= tolerance) == passes
            if not passes:
                assert tolerance == pytest.approx(1e-12 * row_scale, rel=1e-9)


def test_forward_and_gap_are_compared_with_the_data_scale() -> None:
    net = FrozenNet([], Output([], [1e6, -1e6], 3.0))
    program = compile_net(net).program
    x, nothing = np.array([[1.0, 1.0]]), np.zeros((1, 0))
    S = 2e6 + 3.0  # the terms of the network
    for factor, passes in ((0.99, True), (1.01, False)):
        forward = np.array([3.0 + factor * 1e-12 * (1 + S)])
        checked = Checker(program)(x, nothing, nothing, forward, scale=np.array([S]))
        assert checked.ok[0] == passes
    assert checked.tolerances["forward"][0] == pytest.approx(1e-12 * (1 + S))


def test_labels_are_not_trusted() -> None:
    compiled = compile_net(random_net(6))
    x = np.random.default_rng(2).normal(size=(6, 4))
    witness, forward = compiled.witness(x), compiled.net(x)
    liars = [
        (),
        tuple(replace(b, kind="norm") for b in compiled.program.rows),
        tuple(replace(b, kind="relu") for b in compiled.program.rows),
        (Block("all", "equality", -5, 10_000),),
    ]
    for rows in liars:
        checker = Checker(replace(compiled.program, rows=rows))
        assert checker(x, witness.v, witness.y, forward, witness.k, scale=np.abs(forward)).ok.all()
        for j in range(compiled.program.A.shape[0]):
            y = witness.y.copy()
            y[:, j] -= 1e-3
            assert not checker(x, witness.v, y, forward, witness.k, scale=np.abs(forward)).ok.any()


def test_wrong_forward_values_fail_however_consistent_the_program() -> None:
    compiled = compile_net(random_net(8))
    x = np.random.default_rng(2).normal(size=(6, 4))
    checked = check(compiled, x, forward=compiled.net(x) + 1e-9)
    assert not checked.ok.any()
    judged = {name for name, limit in checked.tolerances.items() if (checked.residuals[name] > limit).any()}
    assert judged == {"forward"}


def test_stacked_contexts_are_checked_row_by_row() -> None:
    rng = np.random.default_rng(0)
    count, n, h = 7, 3, 4
    net = FrozenNet(
        [Layer(None, rng.normal(size=(h, n)), rng.normal(size=(count, h)))],
        Output(rng.exponential(size=(count, h)), rng.normal(size=(count, n)), rng.normal(size=count)),
        [Quadratic(rng.exponential(size=count), rng.normal(size=(2, n)), rng.normal(size=(count, 2)))],
        [Norm(rng.exponential(size=count), rng.normal(size=(4, n)), rng.normal(size=(count, 4)), group=2)],
    )
    compiled = compile_net(net)
    x = rng.normal(size=(count, n))
    checked = check(compiled, x)
    assert checked.ok.all()
    singles = [compile_net(net[i]) for i in range(count)]
    assert np.allclose(checked.value, [check(one, x[i : i + 1]).value[0] for i, one in enumerate(singles)])
    mutant = with_entry(compiled.program, "q", (3, 0), compiled.program.q[3, 0] + 1.0)
    expected = [True] * count
    expected[3] = False
    assert check(compiled, x, program=mutant).ok.tolist() == expected
    with pytest.raises(ValueError, match="7 contexts need as many points; received 2"):
        witness = compiled.witness(x)
        Checker(compiled.program)(x[:2], witness.v[:2], witness.y[:2], net(x)[:2], witness.k[:2], scale=np.ones(2))


def test_wrong_shapes_are_refused() -> None:
    compiled = compile_net(random_net(3))
    x = np.zeros((2, 4))
    w = compiled.witness(x)
    with pytest.raises(ValueError, match="v must have shape"):
        Checker(compiled.program)(x, w.v[:, 1:], w.y, np.zeros(2), w.k, scale=np.ones(2))
    with pytest.raises(ValueError, match="k must have shape"):
        Checker(compiled.program)(x, w.v, w.y, np.zeros(2), w.k[:, :0], scale=np.ones(2))


def test_equality_rows_are_checked() -> None:
    """min |x| written with a free auxiliary variable u = x and a norm of u."""
    from scipy import sparse

    from socicnn.conic._cones import Cones
    from socicnn.conic._program import ValueProgram

    program = ValueProgram(
        A=sparse.csc_array(np.array([[1.0, 0.0], [0.0, -1.0], [-1.0, 0.0]])),
        B=sparse.csr_array(np.array([[1.0], [0.0], [0.0]])),
        b=np.zeros(3),
        q=np.array([0.0, 2.0]),
        d=np.zeros(1),
        r=np.zeros(()),
        cones=Cones(1, 0, (2,)),
    )
    x, v, y, forward = np.array([[-3.0]]), np.array([[-3.0, 3.0]]), np.array([[2.0, 2.0, 2.0]]), np.array([6.0])
    assert Checker(program)(x, v, y, forward, scale=forward).ok.all()
    assert Checker(program)(x, v, y, forward, scale=forward).slope[0, 0] == -2.0
    off = Checker(program)(x, v + np.array([[1e-3, 0.0]]), y, forward, scale=forward)
    assert off.residuals["equality_primal"][0] == pytest.approx(1e-3)
    assert not off.ok.any()
