"""Every solver keeps the contract, and they agree with each other."""

from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
from scipy import sparse

from socicnn._compile import value_program
from socicnn.conic._cones import Cones
from socicnn.conic._program import ConicProgram, ValueProgram
from socicnn.conic.solvers import SOLVERS, Clarabel, Solver, make
from socicnn.conic.solvers._base import Answer, Engine
from socicnn.errors import ModelError, ProgramError, SolverError
from socicnn.frozen import FrozenNet, Output, Quadratic
from tests.contracts.solvers import SolverContract
from tests.support.conic_cases import KNOWN, conic
from tests.support.frozen_nets import random_net


class TestClarabel(SolverContract):
    name = "clarabel"
    one_step: ClassVar = {"max_iter": 1}
    bad_setting: ClassVar = {"max_iter": "many"}


class TestEcos(SolverContract):
    name = "ecos"
    one_step: ClassVar = {"max_iters": 1}
    bad_setting: ClassVar = {"max_iters": "many"}
    has_time_limit = False


class TestScs(SolverContract):
    name = "scs"
    tolerance = 1e-3
    largest = 1e2
    one_step: ClassVar = {"max_iters": 1}
    bad_setting: ClassVar = {"max_iters": "many"}


class TestScsPrecise(TestScs):
    tolerance = 1e-6
    default: ClassVar = {"eps": 1e-9}


class TestHighs(SolverContract):
    name = "highs"
    conic = False
    one_step: ClassVar = {"simplex_iteration_limit": 1, "presolve": "off"}
    bad_setting: ClassVar = {"simplex_iteration_limit": "many"}


def test_every_solver_has_its_contract() -> None:
    assert {contract.name for contract in SolverContract.__subclasses__()} == set(SOLVERS)


def test_an_unknown_name_lists_what_there_is() -> None:
    with pytest.raises(SolverError, match="unknown solver 'gurobi'; there are: clarabel, ecos, highs, scs"):
        make("gurobi")
    with pytest.raises(SolverError, match="unknown solver 3"):
        make(3)  # type: ignore[arg-type]  # what a user may do


def test_a_solver_is_taken_as_it_is() -> None:
    solver = Clarabel(max_iter=30)
    assert make(solver) is solver
    assert make("Clarabel", max_iter=30).settings == solver.settings
    with pytest.raises(SolverError, match="leave out max_iter"):
        make(solver, max_iter=3)


def test_almost_solved_is_not_ok_but_has_a_point() -> None:
    program = value_program(random_net(1)).at(np.ones(4))
    solution = program.solve("clarabel", tol_gap_abs=1e-17, tol_gap_rel=1e-17, tol_feas=1e-17)
    assert not solution.ok
    assert "almost solved" in solution.status
    assert abs(solution.value - random_net(1)(np.ones(4))[0]) < 1e-6


def test_scs_at_its_limit_says_almost_solved() -> None:
    program = value_program(random_net(1)).at(np.ones(4))
    solution = program.solve("scs", max_iters=40)
    assert not solution.ok
    assert solution.status == "SCS stopped at its iteration limit after 40 iterations (almost solved)"
    assert np.isfinite(solution.v).all()


def test_highs_takes_cones_of_size_one_and_refuses_others() -> None:
    with pytest.raises(SolverError, match="HiGHS solves linear programs; this one has 1 second-order cones"):
        KNOWN["ball_support"].program.solve("highs")


class _Counting(Solver):
    """Clarabel, counting how often it is set up."""

    name, label, package = "clarabel", "Clarabel", "clarabel"

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def engine(self, program: ValueProgram) -> Engine:
        self.count += 1
        return Clarabel().engine(program)


def test_a_prepared_network_is_set_up_once() -> None:
    net = random_net(4)
    solver = _Counting()
    prepared = value_program(net).prepare(solver)
    for x in np.random.default_rng(0).normal(size=(5, 4)) * 10:
        assert prepared.solve(x).value == pytest.approx(net(x)[0], rel=1e-6)
    assert solver.count == 1


def test_a_matrix_that_moves_is_set_up_again() -> None:
    """A quadratic whose t enters another row: its scale moves A, and the prepared program follows."""
    net = FrozenNet([], Output(np.zeros(0), np.zeros(2)), [Quadratic(1.0, np.eye(2))])
    program = value_program(net)
    # z >= 2 t - 1 costs z: f(x) = 2 ||x||^2 - 1
    wide = sparse.vstack([sparse.csc_array([[2.0, -1.0]]), sparse.hstack([program.A, sparse.csc_array((4, 1))])])
    inside = ValueProgram(
        A=sparse.csc_array(wide),
        B=sparse.csr_array(sparse.vstack([sparse.csr_array((1, 2)), program.B])),
        b=np.concatenate([[1.0], program.b]),
        q=np.array([0.0, 1.0]),
        d=program.d,
        r=program.r,
        cones=Cones(0, 1, (4,)),
        lifts=replace(program.lifts, heads=program.lifts.heads + 1),
    )
    solver = _Counting()
    prepared = inside.prepare(solver)
    for x in ([3.0, 4.0], [300.0, 400.0], [0.0, 0.0]):
        truth = 2 * np.dot(x, x) - 1
        assert prepared.solve(x).value == pytest.approx(truth, rel=1e-6, abs=1e-6)
    assert solver.count > 1


def test_stacked_contexts_are_solved_one_at_a_time() -> None:
    net = FrozenNet(
        [], Output(np.zeros(0), np.array([[1.0, 2.0], [3.0, 4.0]])), [Quadratic(np.array([1.0, 2.0]), np.eye(2))]
    )
    program = value_program(net)
    prepared = program.prepare("clarabel")
    x = np.array([1.0, -2.0])
    for i in range(2):
        assert prepared.solve(x, context=i).value == pytest.approx(net[i](x)[0], rel=1e-6)
    with pytest.raises(ProgramError, match="choose one"):
        prepared.solve(x)
    with pytest.raises(ProgramError, match="choose one"):
        program.at(x)


def test_points_of_the_wrong_shape_are_refused() -> None:
    prepared = value_program(random_net(1)).prepare()
    with pytest.raises(ModelError, match="x must have shape"):
        prepared.solve(np.ones(3))
    with pytest.raises(ModelError, match="non-finite"):
        prepared.solve([1.0, np.nan, 0.0, 0.0])


def test_solvers_agree_on_random_networks() -> None:
    for seed in range(6):
        net = random_net(seed, zeros=0.3)
        x = np.random.default_rng(seed).normal(size=(3, 4))
        programs = [value_program(net).prepare(name) for name in ("clarabel", "ecos")]
        for point in x:
            first, second = (program.solve(point).value for program in programs)
            assert abs(first - second) <= 1e-6 * (1 + abs(first))


class _Boaster(Solver):
    """A solver that reports an optimum whatever it found."""

    name, label, package = "boaster", "Boaster", "numpy"

    def __init__(self, v: list[float], y: list[float]) -> None:
        super().__init__()
        self.answer = Answer("optimal", "solved the program", np.array(v), np.array(y), 0.0)

    def engine(self, program: ConicProgram) -> Engine:
        answer = self.answer

        class _Engine(Engine):
            def run(self, b: np.ndarray, c: np.ndarray) -> Answer:
                return answer

        return _Engine()


@pytest.mark.parametrize(
    ("v", "y", "residual"),
    [
        ([0.0, 5.0], [1.0, 0.0], "primal"),  # z above its bound
        ([0.0, 0.0], [0.5, 0.0], "dual"),  # A'y + c is not 0
        ([0.0, 1.0], [1.0, -0.5], "value"),  # y not in the dual cone
        ([1.0, 0.0], [1.0, 0.0], "value"),  # feasible, but not the least
    ],
)
def test_a_solver_is_not_believed_against_its_own_residuals(v: list[float], y: list[float], residual: str) -> None:
    program = conic([[-1.0, 0.0], [0.0, 1.0]], [0, 1], [1, 0], Cones(0, 2))  # min x, x >= 0, z <= 1
    assert program.solve(_Boaster([0.0, -3.0], [1.0, 0.0])).ok
    solution = program.solve(_Boaster(v, y))
    assert not solution.ok
    assert f"Boaster reports a solution, but its {residual} residual is" in solution.status


@pytest.mark.parametrize("name", ["clarabel", "ecos", "scs"])
def test_an_answer_does_not_depend_on_the_points_before(name: str) -> None:
    program = value_program(random_net(9))
    rng = np.random.default_rng(3)
    x = rng.normal(size=4)
    first = program.prepare(name).solve(x)
    prepared = program.prepare(name)
    for scale in (1e-3, 1e3, 30.0):
        prepared.solve(scale * rng.normal(size=4))
    assert prepared.solve(x).value == first.value


def test_rows_of_vectors_are_solved_like_single_ones() -> None:
    conic_program = value_program(random_net(9)).at(np.zeros(4))
    program, rng = replace(conic_program, offset=0.0), np.random.default_rng(5)
    b = program.b + 0.1 * np.abs(rng.normal(size=(4, len(program.b))))
    c = np.tile(program.c, (4, 1))
    b[2] *= 1e9  # far from 1: asked again, with its vectors divided
    ticks: list[int] = []
    each = Clarabel().prepare(program).solve_each(b, c, lambda: ticks.append(1))
    assert len(ticks) == len(each) == 4
    alone = Clarabel().prepare(program)
    for solution, right, cost in zip(each, b, c, strict=True):
        wanted = alone.solve(right, cost)
        assert (solution.ok, solution.status) == (wanted.ok, wanted.status)
        np.testing.assert_allclose(solution.value, wanted.value, rtol=1e-7)
        np.testing.assert_allclose(solution.s, wanted.s, atol=1e-6 * np.abs(right).max())


def test_answers_that_do_not_stand_are_asked_again_one_by_one() -> None:
    program = conic([[-1.0, 0.0], [0.0, 1.0]], [0, 1], [1, 0], Cones(0, 2))  # min x, x >= 0, z <= 1
    for boaster, word in (
        (_Boaster([0.0, 5.0], [1.0, 0.0]), "primal residual"),
        (_Boaster([0.0], [1.0, 0.0]), "shape"),
    ):
        first, second = boaster.prepare(program).solve_each(np.tile(program.b, (2, 1)), np.tile(program.c, (2, 1)))
        assert not first.ok
        assert word in first.status
        assert first.status == second.status
    with pytest.raises(SolverError, match="rows of length 2"):
        _Boaster([0.0, 0.0], [1.0, 0.0]).prepare(program).solve_each(np.ones((2, 3)), np.ones((2, 2)))


@pytest.mark.parametrize("dual", [False, True])
def test_columns_have_the_violations_of_single_vectors(dual: bool) -> None:
    cones = Cones(2, 3, (3, 4), exponential=2)
    columns = np.random.default_rng(0).normal(size=(cones.rows, 5))
    apart = np.stack([cones.violation(column, dual=dual) for column in columns.T], axis=1)
    np.testing.assert_array_equal(cones.violation(columns, dual=dual), apart)
