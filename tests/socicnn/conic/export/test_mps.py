"""Linear programs in MPS: every number is read back by other programs as it was, the constant with its sign."""

from pathlib import Path

import highspy
import numpy as np
import pytest
from scipy import sparse

from socicnn._compile import value_program
from socicnn.conic._blocks import Block
from socicnn.conic._cones import Cones
from socicnn.conic._program import ConicProgram
from socicnn.conic._rows import Rows
from socicnn.conic.export import export
from socicnn.conic.export._mps import scales
from socicnn.errors import ProgramError
from socicnn.frozen import FrozenNet, Layer, Output
from tests.support.frozen_nets import NETS, random_net


def simplex(n: int) -> Rows:
    G = sparse.csr_array(np.vstack([np.ones(n), -np.eye(n)]))
    return Rows(G, np.concatenate([[1.0], np.zeros(n)]), Cones(1, n))


def by_highs(path: Path) -> highspy.Highs:
    solver = highspy.Highs()
    solver.setOptionValue("output_flag", False)
    assert solver.readModel(str(path)) == highspy.HighsStatus.kOk  # a dropped entry is a warning
    return solver


def optimum(path: Path) -> float:
    solver = by_highs(path)
    solver.run()
    assert solver.getModelStatus() == highspy.HighsModelStatus.kOptimal
    return solver.getObjectiveValue()


def read_back(program: ConicProgram, path: Path) -> None:
    """Compare what HiGHS holds after reading with the program, bit for bit up to the row's power of two."""
    lp = by_highs(path).getLp()
    m, variables = program.A.shape
    constants = int(program.offset != 0)
    assert (lp.num_row_, lp.num_col_) == (m, variables + constants)
    matrix = sparse.csc_array(
        (lp.a_matrix_.value_, lp.a_matrix_.index_, lp.a_matrix_.start_), shape=(lp.num_row_, lp.num_col_)
    ).tocsr()
    assert lp.a_matrix_.format_ == highspy.MatrixFormat.kColwise
    e = scales(program)
    np.testing.assert_array_equal(np.ldexp(matrix.toarray()[:, :variables], -e[:, None]), program.A.toarray())
    np.testing.assert_array_equal(np.ldexp(np.asarray(lp.row_upper_), -e), program.b)
    zero = program.cones.zero
    np.testing.assert_array_equal(lp.row_lower_[:zero], lp.row_upper_[:zero])
    assert np.all(np.isneginf(lp.row_lower_[zero:]))
    np.testing.assert_array_equal(lp.col_cost_[:variables], program.c)
    assert np.all(np.isneginf(lp.col_lower_[:variables]) & np.isposinf(lp.col_upper_[:variables]))
    if constants:
        fixed = (lp.col_lower_[-1], lp.col_upper_[-1], lp.col_cost_[-1])
        assert fixed == (1.0, 1.0, program.offset)


def test_networks_are_read_by_highs_bit_for_bit_and_are_worth_the_same(tmp_path: Path) -> None:
    for seed in range(3):
        net = random_net(seed, **NETS["relu"])
        for program in (value_program(net).free(simplex(4)), value_program(net).at(np.ones(4))):
            export(program, tmp_path / "p.mps")
            read_back(program, tmp_path / "p.mps")
            assert optimum(tmp_path / "p.mps") == pytest.approx(program.solve("highs").value, rel=1e-9)


@pytest.mark.parametrize(("small", "large"), [(1e-10, 1e10), (1e-9, 1e9), (1e-12, 1e12)])
def test_small_entries_are_kept(tmp_path: Path, small: float, large: float) -> None:
    """f(x) = large relu(small relu(x)): HiGHS would drop the entry `small`, and the optimum would be 0."""
    net = FrozenNet([Layer(None, [[1.0]], [0.0]), Layer([[small]], [[0.0]], [0.0])], Output([large], [0.0]))
    program = value_program(net).at([3.0])
    export(program, tmp_path / "p.mps")
    read_back(program, tmp_path / "p.mps")
    assert optimum(tmp_path / "p.mps") == pytest.approx(3.0, rel=1e-9)


def test_random_rows_over_many_magnitudes_are_read_back_or_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    kept = refused = 0
    for _ in range(200):
        m, n = rng.integers(1, 5, 2)
        spread = rng.choice([3, 10, 16])
        A = rng.normal(size=(m, n)) * 10.0 ** (rng.uniform(-spread, spread, (m, n)) / 2 + rng.uniform(-25, 25, (m, 1)))
        A[rng.random((m, n)) < 0.2] = 0.0
        b = rng.normal(size=m) * 10.0 ** rng.uniform(-20, 22, m)
        zero = int(rng.integers(0, m + 1))
        offset = float(rng.choice([0.0, -0.1, 1e-12]))
        program = ConicProgram(sparse.csc_array(A), b, rng.normal(size=n), offset, Cones(zero, m - zero))
        path = tmp_path / "p.mps"
        try:
            scales(program)
        except ProgramError:
            with pytest.raises(ProgramError, match="cannot be written in MPS"):
                export(program, path)
            refused += 1
            continue
        export(program, path)
        read_back(program, path)
        kept += 1
    assert kept > 50
    assert refused > 10


def test_what_readers_take_for_infinite_is_refused(tmp_path: Path) -> None:
    one = sparse.csc_array([[1.0]])
    for program, said in (
        (ConicProgram(one, np.array([1e20]), np.zeros(1), 0.0, Cones(0, 1)), None),
        (ConicProgram(one * 1e-12, np.array([1e20]), np.zeros(1), 0.0, Cones(0, 1)), "row row0 cannot be written"),
        (ConicProgram(one, np.ones(1), np.array([1e20]), 0.0, Cones(0, 1)), r"a cost of 1.0e\+20 cannot be written"),
        (ConicProgram(one, np.ones(1), np.zeros(1), -1e21, Cones(0, 1)), r"a cost of 1.0e\+21 cannot be written"),
        (ConicProgram(one, np.array([np.inf]), np.zeros(1), 0.0, Cones(0, 1)), "b of the program has non-finite"),
    ):
        if said is None:  # scaled down
            export(program, tmp_path / "p.mps")
            read_back(program, tmp_path / "p.mps")
            continue
        with pytest.raises(ProgramError, match=said):
            export(program, tmp_path / "q.mps")
    assert not (tmp_path / "q.mps").exists()


def test_names_that_are_no_words_are_numbered(tmp_path: Path) -> None:
    base = value_program(random_net(1, **NETS["relu"])).at(np.ones(4))
    m, variables = base.A.shape
    for name in ("two words", "§", "*", "$v"):
        blocks = {"columns": (Block(name, "z", 0, variables),), "rows": (Block(name, "z", 0, m),)}
        program = ConicProgram(base.A, base.b, base.c, base.offset, base.cones, **blocks)
        export(program, tmp_path / "p.mps")
        read_back(program, tmp_path / "p.mps")
    double = (Block("z", "z", 0, 1), Block("z", "z", 0, 1), Block("a", "z", 0, variables - 2))
    program = ConicProgram(base.A, base.b, base.c, base.offset, base.cones, columns=double)
    export(program, tmp_path / "p.mps")
    read_back(program, tmp_path / "p.mps")


def test_cones_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ProgramError, match="MPS holds linear programs; this one has 3 second-order cones"):
        export(value_program(random_net(1)), tmp_path / "p.mps")
    assert not list(tmp_path.iterdir())


def constants(tmp_path: Path) -> list[tuple[Path, float]]:
    """Files of programs whose objective has a constant, with their optimal values."""
    net = random_net(1, **NETS["relu"])
    found = []
    for shift in (-0.68462, 1e3, 0.0):
        moved = FrozenNet(net.layers, Output(net.output.w, net.output.v, net.output.c + shift))
        for kind, program in (
            ("free", value_program(moved).free(simplex(4))),
            ("at", value_program(moved).at(np.ones(4))),
        ):
            path = tmp_path / f"{kind}{shift:g}.mps"
            export(program, path)
            found.append((path, program.solve("highs").value))
    found += [(tmp_path / "small.mps", 3.0)]
    small = FrozenNet([Layer(None, [[1.0]], [0.0]), Layer([[1e-10]], [[0.0]], [0.0])], Output([1e10], [0.0]))
    export(value_program(small).at([3.0]), tmp_path / "small.mps")
    return found


@pytest.mark.extra
def test_glpk_reads_the_same_optimum(tmp_path: Path) -> None:
    glpk = pytest.importorskip("swiglpk", reason="GLPK is not installed: pip install swiglpk")
    glpk.glp_term_out(glpk.GLP_OFF)
    for path, value in constants(tmp_path):
        problem = glpk.glp_create_prob()
        assert glpk.glp_read_mps(problem, glpk.GLP_MPS_FILE, None, str(path)) == 0
        assert glpk.glp_simplex(problem, None) == 0
        assert glpk.glp_get_obj_val(problem) == pytest.approx(value, rel=1e-7), path.name
        glpk.glp_delete_prob(problem)


@pytest.mark.extra
def test_scip_reads_the_same_optimum(tmp_path: Path) -> None:
    scip = pytest.importorskip("pyscipopt", reason="SCIP is not installed: pip install pyscipopt")
    for path, value in constants(tmp_path):
        model = scip.Model()
        model.hideOutput()
        model.readProblem(str(path))
        model.optimize()
        assert model.getObjVal() == pytest.approx(value, rel=1e-6), path.name


@pytest.mark.extra
def test_mosek_reads_the_same_numbers(tmp_path: Path) -> None:
    """MOSEK's wheel reads without a licence: its own data are compared with what HiGHS read."""
    mosek = pytest.importorskip("mosek", reason="MOSEK's wheel is not installed: pip install Mosek")
    for path, _ in constants(tmp_path):
        lp = by_highs(path).getLp()
        with mosek.Env() as env, env.Task() as task:
            task.readdata(str(path))
            assert task.getnumanz() == len(lp.a_matrix_.value_)
            assert task.getcfix() == 0.0
            np.testing.assert_array_equal(task.getc(), lp.col_cost_)
            kinds, lower, upper = task.getvarboundslice(0, lp.num_col_)
            fixed = np.array([kind == mosek.boundkey.fx for kind in kinds])
            np.testing.assert_array_equal(fixed, np.equal(lp.col_lower_, lp.col_upper_))
            np.testing.assert_array_equal(np.asarray(lower)[fixed], np.ones(int(fixed.sum())))
            kinds, _, upper = task.getconboundslice(0, lp.num_row_)
            np.testing.assert_array_equal(upper, lp.row_upper_)
