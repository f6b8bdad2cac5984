"""A thousand damaged files: each is read, or refused in one sentence, at once and without memory or code."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.damages import Tally, _judge, run


def test_damaged_files_are_read_or_refused() -> None:
    tally = run(1000, seed=0)
    assert not tally.faults, "\n".join(tally.faults.values())
    assert tally.counts["refused"] > 500
    assert tally.counts["read"] > 50


def test_a_run_goes_on_from_its_state(tmp_path: Path) -> None:
    state = tmp_path / "damages.json"
    run(40, seed=1, state=state)
    assert run(40, seed=1, state=state).counts == run(40, seed=1).counts


def test_memory_and_time_are_watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, tally = tmp_path / "file", Tally()
    path.write_bytes(b"0" * 2**20)
    _judge(path, lambda path: np.ones(8 * 2**20), tally)  # 64 MB, beside three times a file of 1 MB
    assert not tally.faults
    _judge(path, lambda path: np.zeros(2**24), tally)
    assert tally.counts["memory"] == 1
    monkeypatch.setattr("benchmarks.damages.SECONDS", 0.0)
    _judge(path, lambda path: sum(range(10_000)), tally)
    assert tally.counts["hang"] == 1
