"""Log-sum-exp and logistic branches as arrays: values, checks, files, fingerprints, programs; CVXPY's atoms agree."""

import hashlib
import struct
from dataclasses import replace
from pathlib import Path

import cvxpy as cp
import numpy as np
import pytest
import torch
from scipy import sparse

import socicnn
import verify
from socicnn import SOCICNN
from socicnn._compile import compile_net, value_program
from socicnn.conic.solvers import SOLVERS
from socicnn.errors import ModelError, SolverError
from socicnn.frozen import FrozenNet, Logistic, LogSumExp, Output
from tests.contracts.frozen import FrozenContract
from tests.support.softplus import exponential_net


class TestBesideEveryOtherTerm(FrozenContract):
    net = exponential_net(0)


class TestAlone(FrozenContract):
    net = exponential_net(1, layers=False)


class TestSparse(FrozenContract):
    net = replace(
        exponential_net(2, layers=False),
        logsumexps=[LogSumExp(1.5, sparse.diags_array([1.0, -2.0, 0.5, 1.0], format="csr"), None, 2)],
        logistics=[Logistic(0.5, sparse.csr_array([[0.0, 1.0, 0.0, -1.0]]))],
    )


def test_cvxpys_own_atoms_have_the_same_values() -> None:
    """`log_sum_exp` and `logistic` of CVXPY, at arguments from -700 to 700."""
    rng = np.random.default_rng(3)
    for scale in (0.1, 1.0, 10.0, 200.0):
        net = exponential_net(3, layers=False)
        x = scale * rng.normal(size=(1000, 4))
        values = x @ net.output.v[0] + net.output.c
        for term in net.logsumexps:
            p = (term.G @ x.T).T + term.o
            for group in np.split(p, term.groups, axis=1):
                values += term.alpha * cp.log_sum_exp(cp.Constant(group), axis=1).value
        for term in net.logistics:
            values += cp.logistic(cp.Constant((term.S @ x.T).T + term.s)).value @ term.omega[0]
        assert net(x) == pytest.approx(values, rel=1e-13, abs=1e-13)


def test_every_solver_with_the_cone_finds_the_minimum_of_cvxpys_atoms() -> None:
    rng = np.random.default_rng(4)
    net = exponential_net(5, layers=False, scale=0.5)
    z = cp.Variable(4)
    cost = net.output.v[0] @ z + net.output.c[0]
    for term in net.logsumexps:
        p = term.G @ z + term.o[0]
        cost += term.alpha[0] * sum(
            cp.log_sum_exp(p[i : i + term.rows]) for i in range(0, term.groups * term.rows, term.rows)
        )
    cost += sum(term.omega[0] @ cp.logistic(term.S @ z + term.s[0]) for term in net.logistics)
    box = [z <= 1, z >= rng.uniform(-1, 0, size=4)]
    value = cp.Problem(cp.Minimize(cost), box).solve(cp.CLARABEL)
    for solver in (cp.CLARABEL, cp.ECOS, cp.SCS):
        problem = cp.Problem(cp.Minimize(socicnn.to_cvxpy(net, z)), box)
        assert problem.solve(solver) == pytest.approx(value, rel=1e-4, abs=1e-4)
    program = value_program(net).at(np.ones(4))
    for name in SOLVERS:
        if name == "highs":
            with pytest.raises(SolverError, match="cone"):
                program.solve(name)
        else:
            assert program.solve(name).value == pytest.approx(net(np.ones(4))[0], rel=1e-4)


def test_fingerprints_tell_the_branches_and_are_what_the_description_says() -> None:
    net = FrozenNet(
        [],
        Output([], [1.0]),
        logsumexps=[LogSumExp(0.5, [[2.0], [3.0]], [4.0, 5.0])],
        logistics=[Logistic(6.0, [[7.0]])],
    )

    def whole(*numbers: int) -> bytes:
        return struct.pack(f"<{len(numbers)}Q", *numbers)

    def real(*numbers: float) -> bytes:
        return struct.pack(f"<{len(numbers)}d", *numbers)

    def record(name: str, *sizes: int) -> bytes:
        return whole(len(name)) + name.encode() + whole(len(sizes), *sizes)

    form = record("socicnn network 1", 1, 0) + record("shape", 1) + record("output") + record("w", 1, 0)
    form += record("v", 1, 1) + real(1) + record("c", 1) + real(0)
    form += record("logsumexp", 2) + record("alpha", 1) + real(0.5)
    form += record("G", 2, 1) + whole(2, 0, 1, 0, 0) + real(2, 3) + record("o", 1, 2) + real(4, 5)
    form += record("logistic") + record("omega", 1, 1) + real(6)
    form += record("S", 1, 1) + whole(1, 0, 0) + real(7) + record("s", 1, 1) + real(0)
    assert net.fingerprint == hashlib.sha256(form).hexdigest()


def test_files_say_that_they_need_a_newer_reader(tmp_path: Path) -> None:
    from safetensors import safe_open

    for net, version in ((exponential_net(1, layers=False), "3"), (FrozenNet([], Output([], [1.0])), "2")):
        net.save(tmp_path / "net")
        with safe_open(tmp_path / "net", framework="np") as file:
            assert file.metadata()["version"] == version
            assert any(name.startswith("logistics") for name in file.keys()) == (version == "3")  # noqa: SIM118


@pytest.mark.parametrize(
    ("branches", "message"),
    [
        ({"logsumexps": [LogSumExp(-1.0, [[1.0]])]}, "weight alpha of logsumexp branch 1 has 1 negative"),
        ({"logsumexps": [LogSumExp(1.0, [[np.nan]])]}, "matrix G of logsumexp branch 1 has 1 non-finite"),
        ({"logsumexps": [LogSumExp(1.0, np.ones((3, 1)), group=2)]}, "3 rows, which groups of 2 do not divide"),
        ({"logistics": [Logistic([1.0, -1.0], [[1.0], [2.0]])]}, "weight omega of logistic branch 1 has 1 negative"),
        (
            {"logistics": [Logistic([1.0], [[1.0], [2.0]])]},
            "omega of logistic branch 1 must have length 2",
        ),
        ({"logistics": [Logistic(1.0, [[1.0, 2.0]])]}, "matrix S of logistic branch 1 must have shape"),
        ({"logistics": [Logistic(1.0, [[1.0]], [np.inf])]}, "offset s of logistic branch 1 has 1 non-finite"),
    ],
)
def test_what_is_wrong_is_named(branches: dict, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        FrozenNet([], Output([], [1.0]), **branches)


def test_stacked_contexts_are_those_networks() -> None:
    """Weights and offsets of each context; a weight that is zero in some context stays in the program."""
    rng = np.random.default_rng(6)
    alpha, omega = np.array([0.0, 1.0, 2.0]), rng.exponential(size=(3, 5))
    smooth = LogSumExp(alpha, rng.normal(size=(4, 2)), rng.normal(size=(3, 4)), 2)
    logistic = Logistic(omega, rng.normal(size=(5, 2)), rng.normal(size=(3, 5)))
    net = FrozenNet([], Output([], np.zeros(2)), logsumexps=[smooth], logistics=[logistic])
    x = rng.normal(size=(3, 2))
    certificate = verify.certify(net, x, proof=True)
    assert certificate.ok
    for i in range(3):
        own = FrozenNet(
            [],
            Output([], np.zeros(2)),
            logsumexps=[LogSumExp(alpha[i], smooth.G, smooth.o[i], 2)],
            logistics=[Logistic(omega[i], logistic.S, logistic.s[i])],
        )
        assert own.fingerprint == net[i].fingerprint
        assert own(x[i : i + 1])[0] == pytest.approx(net(x)[i], rel=1e-14)
        assert len(compile_net(own).exponentials) == (2 if alpha[i] else 1)


def test_rows_without_weight_have_no_cones() -> None:
    """They would have no multipliers inside their cones, which proofs of optima look for."""
    S = np.random.default_rng(8).normal(size=(4, 2))
    net = FrozenNet([], Output([], [0.5, 0.0]), logistics=[Logistic([0.0, 2.0, 0.0, 1.0], S), Logistic(0.0, S)])
    program = value_program(net)
    assert program.cones.exponential == 2 * 2
    assert verify.certify(net, np.ones((3, 2)), proof=True).ok
    x = cp.Variable(2)
    proof = verify.optimum(cp.Problem(cp.Minimize(socicnn.to_cvxpy(net, x)), [x >= -1, x <= 1]))
    assert proof.ok, proof.summary()


def test_the_program_may_be_negative() -> None:
    """A log-sum-exp has no sign: CVXPY is not told that f >= 0."""
    net = FrozenNet([], Output([], [0.0]), logsumexps=[LogSumExp(1.0, [[1.0]], [-3.0])])
    z = cp.Variable(1)
    cost = socicnn.to_cvxpy(net, z)
    assert not cost.is_nonneg()
    assert cost.is_incr(0)
    assert cp.Problem(cp.Minimize(cost), [z >= 0]).solve(cp.CLARABEL) == pytest.approx(-3.0, abs=1e-6)
    softplus = FrozenNet([], Output([], [0.0]), logistics=[Logistic(1.0, [[1.0]], [-3.0])])
    assert socicnn.to_cvxpy(softplus, z).is_nonneg()


def test_a_context_may_be_a_parameter_of_cvxpy() -> None:
    """Weights and offsets of the branches move with it, without another compilation."""
    draw = torch.Generator().manual_seed(7)
    settings = {"logsumexp": (3, 2), "logistic": (4,), "context_features": 2, "generator": draw}
    network = SOCICNN(3, (4,), (2,), (2,), dtype=torch.float64, **settings)
    z, theta = cp.Variable(3), cp.Parameter(2)
    problem = cp.Problem(cp.Minimize(socicnn.to_cvxpy(network, z, theta)), [z <= 1, z >= -1])
    for values in ([0.5, -1.0], [-2.0, 1.5]):
        theta.value = np.array(values)
        fixed = cp.Problem(cp.Minimize(socicnn.to_cvxpy(network, z, theta.value)), [z <= 1, z >= -1])
        least = fixed.solve(cp.CLARABEL)
        assert problem.solve(cp.CLARABEL) == pytest.approx(least, rel=1e-6, abs=1e-6)
        assert problem.objective.args[0].value == pytest.approx(network.freeze(values)(z.value[None])[0], rel=1e-9)
