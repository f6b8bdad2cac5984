"""The count of proven optima: its exact values are optimal, it goes on where it stopped, and no end is wrong."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.proven_optima import instance, main


def test_a_run_goes_on_and_finds_no_wrong_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "optima.jsonl"
    arguments = ["--largest", "12", "--out", str(out), "--count"]
    assert main([*arguments, "3"]) == 0
    first = out.read_text()
    assert main([*arguments, "5"]) == 0
    assert out.read_text().startswith(first)
    assert len(out.read_text().splitlines()) == 5
    assert "5 programs, 0 with an end on the wrong side" in capsys.readouterr().out


@pytest.mark.parametrize("seed", [1, 2, 4, 5, 8])
def test_the_exact_value_is_what_a_solver_finds(seed: int) -> None:
    case = instance(seed, 12)
    case.problem.solve(solver="CLARABEL")
    assert float(case.value) == pytest.approx(case.problem.value, rel=1e-5, abs=1e-5)
    assert np.isfinite(float(case.value))
