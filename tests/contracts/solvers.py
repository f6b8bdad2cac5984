"""What every solver adapter must do: inherit `SolverContract`, give its attributes, and these checks run on it."""

import math
from abc import ABC
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest
from scipy import sparse

from socicnn._compile import value_program
from socicnn.conic._cones import Cones
from socicnn.conic._program import ConicProgram
from socicnn.conic._rows import Rows
from socicnn.conic._solution import Solution
from socicnn.conic.solvers import make
from socicnn.errors import SolverError
from tests.support.conic_cases import EXPONENTIAL, KNOWN, Known, conic, random_pair
from tests.support.frozen_nets import NETS, random_net


def residuals(program: ConicProgram, solution: Solution) -> dict[str, float]:
    """Four families of optimality conditions, each relative to the data; computed here, from A, b and c."""
    v, y = solution.v, solution.y
    s = program.b - program.A @ v
    cut, cones = program.cones.zero, program.cones
    y_free = np.concatenate([np.zeros(cut), y[cut:]])  # the dual of {0} is free
    size = 1 + np.abs(program.b).max(initial=0.0) + np.abs(v).max(initial=0.0)
    price = 1 + np.abs(program.c).max(initial=0.0) + np.abs(y).max(initial=0.0)
    value = 1 + abs(program.c @ v)
    return {
        "primal": cones.violation(s).max(initial=0.0) / size,
        "dual cone": cones.violation(y_free, dual=True).max(initial=0.0) / price,
        "stationarity": np.abs(program.A.T @ y + program.c).max(initial=0.0) / price,
        "gap": abs(program.c @ v + program.b @ y) / value,
        "complementarity": abs(s @ y) / value,
    }


class SolverContract(ABC):
    """Checks of one solver.

    `tolerance` is relative to 1 + |f|; `one_step` are settings that stop it at once; `default` those of the tests.
    """

    name: str
    tolerance = 1e-6
    conic = True
    default: ClassVar[dict[str, Any]] = {}
    one_step: ClassVar[dict[str, Any]]
    unknown_setting: ClassVar[dict[str, Any]] = {"no_such_setting": 1}
    bad_setting: ClassVar[dict[str, Any]]
    has_time_limit = True
    largest = np.inf  # inputs up to this size are solved; beyond it a failure is allowed, a wrong value is not

    def fits(self, program: ConicProgram) -> bool:
        return self.conic or all(size == 1 for size in program.cones.second_order)

    def cases(self) -> list[Known]:
        return [known for known in KNOWN.values() if self.fits(known.program)]

    def close(self, found: float, truth: float) -> bool:
        return abs(found - truth) <= self.tolerance * (1 + abs(truth))

    def test_known_values_and_points(self) -> None:
        cases = self.cases()
        assert len(cases) >= 5
        for known in cases:
            solution = known.program.solve(self.name, **self.default)
            assert solution.ok, solution.status
            assert self.close(solution.value, known.value), (known, solution)
            for found, truth in ((solution.v, known.v), (solution.y, known.y)):
                if truth is not None:  # unique; a first-order step in a flat direction costs the square root
                    np.testing.assert_allclose(found, truth, atol=10 * np.sqrt(self.tolerance))

    def test_optimality_conditions(self) -> None:
        for known in self.cases():
            solution = known.program.solve(self.name, **self.default)
            worst = residuals(known.program, solution)
            assert max(worst.values()) <= 10 * self.tolerance, (known, worst)

    def test_exponential_cones(self) -> None:
        """Log-sum-exp at known values, and a cone whose entries differ: a wrong order of entries shows as no answer."""
        for name, known in EXPONENTIAL.items():
            if not self.conic:
                with pytest.raises(SolverError, match="exponential cones; choose clarabel, ecos or scs"):
                    known.program.solve(self.name, **self.default)
                continue
            solution = known.program.solve(self.name, **self.default)
            assert solution.ok, solution.status
            assert self.close(solution.value, known.value), (name, solution)
            assert max(residuals(known.program, solution).values()) <= 100 * self.tolerance, name
            if known.y is None or known.v is None:
                continue
            np.testing.assert_allclose(solution.v, known.v, atol=10 * np.sqrt(self.tolerance))
            np.testing.assert_allclose(solution.y, known.y, atol=10 * np.sqrt(self.tolerance))
            moved = known.program.b.copy()
            moved[-3] += 0.25  # the first entry of the last cone
            prepared = make(self.name, **self.default).prepare(known.program)
            fresh = replace(known.program, b=moved).solve(self.name, **self.default)
            assert self.close(prepared.solve(b=moved).value, fresh.value)

    def test_no_point_of_an_exponential_cone_is_not_called_unbounded(self) -> None:
        """exp(x) <= 0 has no point, but points that are as near as one likes, along which x falls."""
        if not self.conic:
            return
        program = conic([[-1.0], [0.0], [0.0]], [0, 1, 0], [1], Cones(exponential=1))
        solution = program.solve(self.name, **self.default)
        assert not solution.ok
        assert solution.value != -np.inf
        assert np.isnan(solution.value) or solution.value == np.inf or "limit" in solution.status

    def test_residuals_would_catch_a_wrong_point(self) -> None:
        known = KNOWN["box_corner"]
        solution = known.program.solve(self.name, **self.default)
        for changed in (
            replace(solution, v=solution.v + 0.01),
            replace(solution, v=solution.v - 0.01),
            replace(solution, y=-solution.y),
            replace(solution, y=solution.y * 1.01),
        ):
            assert max(residuals(known.program, changed).values()) > 1e-3

    def test_slacks_and_value_follow_from_v(self) -> None:
        program = KNOWN["simplex_corner"].program
        solution = program.solve(self.name, **self.default)
        np.testing.assert_array_equal(solution.s, program.b - program.A @ solution.v)
        assert solution.value == float(program.c @ solution.v) + program.offset
        assert solution.seconds >= 0
        assert solution.solver == self.name

    def test_status_is_a_sentence(self) -> None:
        program = KNOWN["box_corner"].program
        status = program.solve(self.name, **self.default).status
        assert status.lower().startswith(self.name)
        assert "solved the program to its tolerances in" in status

    @pytest.mark.parametrize("kind", sorted(NETS))
    def test_value_of_a_network_is_its_forward_value(self, kind: str) -> None:
        net = random_net(3, **NETS[kind])
        program = value_program(net)
        rng = np.random.default_rng(5)
        if not self.fits(program.at(np.zeros(net.in_features))):
            with pytest.raises(SolverError, match="second-order cones"):
                program.prepare(self.name, **self.default)
            return
        prepared = program.prepare(self.name, **self.default)
        for scale in (0.0, 1.0, 1.0, 30.0):
            x = scale * rng.normal(size=net.in_features)
            truth = net(x)[0]
            moved, fresh = prepared.solve(x), program.at(x).solve(self.name, **self.default)
            for solution in (moved, fresh):
                assert solution.ok, solution.status
                assert self.close(solution.value, truth), (scale, solution, truth)
            assert max(residuals(program.at(x), moved).values()) <= 10 * self.tolerance

    def test_moving_b_c_and_offset_equals_a_fresh_solve(self) -> None:
        cones = (1, 7, (3, 4)) if self.conic else (1, 9, ())
        first = random_pair(11, *cones, 5).program
        b = first.A @ np.ones(5) + _inner(first.cones)  # feasible, as v = 1 shows
        prepared = make(self.name, **self.default).prepare(first)
        before = prepared.solve()
        moved = prepared.solve(b, first.c, 7.0)
        fresh = replace(first, b=b, offset=7.0).solve(self.name, **self.default)
        assert moved.ok, moved.status
        assert self.close(moved.value, fresh.value)
        assert abs(moved.value - before.value) > 1e-2
        costlier = prepared.solve(c=3 * first.c)
        assert self.close(costlier.value - first.offset, 3 * (before.value - first.offset))
        again = prepared.solve()
        assert self.close(again.value, before.value), "what is left out keeps the values of the prepared program"

    def test_huge_and_tiny_inputs(self) -> None:
        net = random_net(7, **(NETS["soc"] if self.conic else NETS["relu"]))
        prepared = value_program(net).prepare(self.name, **self.default)
        rng = np.random.default_rng(1)
        for scale in (1e-8, 1e-3, 1e2, 1e4, 1e6):
            x = scale * rng.normal(size=net.in_features)
            solution, truth = prepared.solve(x), net(x)[0]
            assert solution.ok or scale > self.largest, (scale, solution.status)
            assert not solution.ok or self.close(solution.value, truth), (scale, solution, truth)

    def test_free_minimises_over_a_set(self) -> None:
        """Over the box [-1, 1]^n of f(x) = c'x the minimum is -||c||_1; with a network, no sampled point is better."""
        net = random_net(2, **NETS["soc" if self.conic else "relu"])
        n = net.in_features
        rows = Rows(sparse.csr_array(np.vstack([np.eye(n), -np.eye(n)])), np.ones(2 * n), Cones(0, 2 * n))
        program = value_program(net).free(rows)
        solution = program.solve(self.name, **self.default)
        x = np.clip(solution.v[:n], -1, 1)
        assert solution.ok, solution.status
        assert self.close(solution.value, net(x)[0])
        samples = np.random.default_rng(0).uniform(-1, 1, size=(500, n))
        assert solution.value <= net(samples).min() + self.tolerance * (1 + abs(solution.value))

    def test_infeasible_is_said(self) -> None:
        program = conic([[1.0], [-1.0]], [-1, -1], [1], Cones(0, 2))  # v <= -1 and v >= 1
        solution = program.solve(self.name, **self.default)
        assert not solution.ok
        assert "infeasible" in solution.status
        assert solution.value == np.inf
        assert np.isnan(solution.v).all()

    def test_infeasible_is_not_called_unbounded(self) -> None:
        """v_0 <= -1 and v_0 >= 0 has no point, whatever the cost v_1 <= 0 falls to."""
        program = conic([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]], [-1, 0, 0], [0, 1], Cones(0, 3))
        solution = program.solve(self.name, **self.default)
        assert not solution.ok
        assert "infeasible" in solution.status
        assert solution.value == np.inf

    def test_unbounded_is_said(self) -> None:
        program = conic([[1.0, 0.0], [0.0, -1.0]], [1, 1], [1, 0], Cones(0, 2))  # min v, v <= 1
        solution = program.solve(self.name, **self.default)
        assert not solution.ok
        assert "unbounded" in solution.status
        assert solution.value == -np.inf

    def test_a_failure_does_not_spoil_the_next_solve(self) -> None:
        program = conic([[1.0], [-1.0]], [2, -1], [1], Cones(0, 2))  # 1 <= v <= 2
        prepared = make(self.name, **self.default).prepare(program)
        assert not prepared.solve(b=np.array([-1.0, -1.0])).ok
        solution = prepared.solve()
        assert solution.ok
        assert self.close(solution.value, 1.0)

    def test_degenerate_programs(self) -> None:
        nothing = conic(np.zeros((0, 0)), [], [], Cones(), offset=3.0)
        nothing = replace(nothing, A=sparse.csc_array((0, 0)))
        assert nothing.solve(self.name, **self.default).value == 3.0
        no_rows = replace(nothing, A=sparse.csc_array((0, 2)), c=np.zeros(2))
        solution = no_rows.solve(self.name, **self.default)
        assert solution.ok
        assert solution.v.shape == (2,)
        assert no_rows.solve(self.name, **self.default).y.shape == (0,)
        assert "unbounded" in replace(no_rows, c=np.array([0.0, 1.0])).solve(self.name, **self.default).status
        no_variables = replace(nothing, A=sparse.csc_array((3, 0)), b=np.array([1.0, 0, 0]), cones=Cones(0, 3))
        assert no_variables.solve(self.name, **self.default).ok
        bad = replace(no_variables, b=np.array([1.0, 0, -1e-3]))
        assert "infeasible" in bad.solve(self.name, **self.default).status
        unused = conic([[1.0, 0.0], [-1.0, 0.0]], [1, 1], [1, 0], Cones(0, 2))  # a variable in no row, at no cost
        assert self.close(unused.solve(self.name, **self.default).value, -1.0)

    def test_a_limit_is_said_in_a_sentence(self) -> None:
        solution = self.large().solve(self.name, **{**self.default, **self.one_step})
        assert not solution.ok
        assert "iteration limit" in solution.status

    def test_time_limit(self) -> None:
        if not self.has_time_limit:
            with pytest.raises(SolverError, match="time limit"):
                self.large().solve(self.name, time_limit=1.0)
            return
        solution = self.large().solve(self.name, **self.default, time_limit=1e-6)
        assert not solution.ok
        assert "time limit" in solution.status
        prepared = make(self.name, **self.default, time_limit=60.0).prepare(KNOWN["box_corner"].program)
        assert all(prepared.solve().ok for _ in range(3))
        with pytest.raises(SolverError, match="time_limit must be a positive"):
            make(self.name, time_limit=0)
        for limit in ("5", [5], math.nan):
            with pytest.raises(SolverError, match="positive number of seconds; received"):
                make(self.name, time_limit=limit)

    def large(self) -> ConicProgram:
        hidden, branch = ((40, 40, 40), (20,)) if self.conic else ((60, 60, 60), ())
        return value_program(random_net(0, n=20, hidden=hidden, quadratic=branch, norm=branch)).at(np.ones(20))

    def test_wrong_settings_are_refused(self) -> None:
        for settings in (self.unknown_setting, self.bad_setting):
            with pytest.raises(SolverError, match=next(iter(settings))):
                KNOWN["box_corner"].program.solve(self.name, **settings)

    def test_wrong_vectors_are_refused(self) -> None:
        prepared = make(self.name, **self.default).prepare(KNOWN["box_corner"].program)
        with pytest.raises(SolverError, match=r"b must have shape \(4,\)"):
            prepared.solve(b=np.ones(3))
        with pytest.raises(SolverError, match="c has non-finite entries"):
            prepared.solve(c=np.array([np.nan, 1.0]))
        with pytest.raises(SolverError, match="b of the program has non-finite"):
            replace(KNOWN["box_corner"].program, b=np.array([1, np.inf, 0, 0])).solve(self.name)

    def test_an_absent_package_says_what_to_install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        solver = make(self.name)
        monkeypatch.setitem(__import__("sys").modules, solver.package, None)
        with pytest.raises(ImportError, match=rf'pip install "socicnn\[{self.name}\]"|pip install clarabel'):
            KNOWN["box_corner"].program.solve(solver)


def _inner(cones: Cones) -> np.ndarray:
    """Return a point inside the cone (0 in the zero cone)."""
    s = np.concatenate([np.zeros(cones.zero), np.ones(cones.rows - cones.zero)])
    s[cones.heads] = [2.0 + np.sqrt(size) for size in cones.second_order]
    return s
