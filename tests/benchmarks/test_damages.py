"""A thousand damaged files: each is read, or refused in one sentence, at once and without memory or code."""

from pathlib import Path

from benchmarks.damages import run


def test_damaged_files_are_read_or_refused() -> None:
    tally = run(1000, seed=0)
    assert not tally.faults, "\n".join(tally.faults.values())
    assert tally.counts["refused"] > 500
    assert tally.counts["read"] > 50


def test_a_run_goes_on_from_its_state(tmp_path: Path) -> None:
    state = tmp_path / "damages.json"
    run(40, seed=1, state=state)
    assert run(40, seed=1, state=state).counts == run(40, seed=1).counts
