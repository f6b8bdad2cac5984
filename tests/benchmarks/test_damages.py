"""A thousand damaged files: each is read, or refused in one sentence, at once and without memory or code."""

from benchmarks.damages import run


def test_damaged_files_are_read_or_refused() -> None:
    tally = run(1000, seed=0)
    assert not tally.faults, "\n".join(tally.faults.values())
    assert tally.counts["refused"] > 500
    assert tally.counts["read"] > 50
