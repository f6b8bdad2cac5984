"""The file of an optimum: anybody checks it with NumPy and SciPy alone, and a changed claim fails."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cvxpy as cp
import numpy as np
import pytest
from scipy import sparse

import verify
from socicnn.errors import FileError
from verify._optimum.check import check_optimum
from verify._optimum.claim import read
from verify._optimum.program import QuadraticProgram
from verify._optimum.result import write

LINES = 3_440  # of ours, loaded once `python -m verify.check FILE` has checked an optimum
CODE = """
import sys
import verify.check
status = verify.check.main([sys.argv[1]])
ours = {n: m.__file__ for n, m in sys.modules.items() if n.split(".")[0] in ("socicnn", "verify") and m.__file__}
assert "verify._optimum.prove" in ours and "verify._core.checker" not in ours
print(sum(len(open(path, encoding="utf-8").readlines()) for path in ours.values()), file=sys.stderr)
print(*[n for n in ("torch", "cvxpy", "clarabel", "scs") if n in sys.modules], file=sys.stderr)
sys.exit(status)
"""
x = cp.Variable(4)
PROBLEMS = {
    "linear": cp.Problem(cp.Maximize(cp.sum(x)), [x <= [1, 2, 3, 4], x[0] + x[1] == 1.5]),
    "cone": cp.Problem(cp.Minimize(cp.norm(x - 3) + 0.25 * cp.sum(x)), [x <= 2]),
    "quadratic": cp.Problem(cp.Minimize(cp.sum_squares(x - 3) + cp.sum(x)), [x <= 2]),
    "infeasible": cp.Problem(cp.Minimize(cp.sum(x)), [x <= 2, cp.sum(x) >= 9]),
    "unbounded": cp.Problem(cp.Maximize(cp.sum(x)), [x >= 2]),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_claim_is_checked_and_a_changed_one_fails(name: str, tmp_path: Path) -> None:
    path = tmp_path / "optimum.npz"
    result = verify.optimum(PROBLEMS[name])
    assert result.ok
    result.save(path)
    report = check_optimum(path)
    assert report.ok
    assert report.lo <= result.lo
    assert result.hi <= report.hi
    claim = read(path)
    shift = 1e-3 * max(1.0, result.scale)
    if result.kind == "bracket":
        false = [replace(claim, lo=claim.hi + shift, hi=claim.hi + 2 * shift)]
        false.append(replace(claim, lo=claim.lo - 2 * shift, hi=claim.lo - shift))
        nothing = np.full_like(claim.witness.y, np.nan)
        false.append(replace(claim, witness=replace(claim.witness, y=nothing)))
    else:
        false = [replace(claim, lo=0.0, hi=0.0), replace(claim, lo=-claim.lo, hi=-claim.hi)]
    for other in false:
        write(path, other)
        assert not check_optimum(path).ok
        assert verify.check.main([str(path)]) == 1


def test_what_checks_it_can_be_read_and_needs_no_solver(tmp_path: Path) -> None:
    verify.optimum(PROBLEMS["quadratic"]).save(tmp_path / "optimum.npz")
    command = [sys.executable, "-c", CODE, str(tmp_path / "optimum.npz")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "PASSED: optimal value in [" in done.stdout
    lines, foreign = done.stderr.splitlines()
    print(lines)
    assert int(lines) <= LINES
    assert not foreign.strip()


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "optimum.npz"
    verify.optimum(PROBLEMS["cone"]).save(path)
    arrays = dict(np.load(path))
    np.savez(path, **(arrays | {"hi": arrays["hi"] + 1.0}))
    with pytest.raises(FileError, match="changed after it was written"):
        check_optimum(path)
    np.savez(path, **{name: array for name, array in arrays.items() if name != "format"})
    assert verify.check.main([str(path)]) == 2


def test_a_matrix_that_is_not_symmetric_is_refused(tmp_path: Path) -> None:
    """Upper ends read slopes P v from it, which are half as large there."""
    path = tmp_path / "optimum.npz"
    problem = cp.Problem(cp.Minimize(cp.quad_form(x, np.eye(4) + np.ones((4, 4))) + x[0]), [x >= -1, x <= 2])
    verify.optimum(problem).save(path)
    claim = read(path)
    P = sparse.csr_array(2 * sparse.triu(claim.program.P) - sparse.diags_array(claim.program.P.diagonal()))
    write(path, replace(claim, program=QuadraticProgram(claim.program.conic, P)))
    with pytest.raises(FileError, match="P must be symmetric"):
        check_optimum(path)
