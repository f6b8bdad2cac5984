"""The cost of a step: both ways are timed in every round."""

import pytest

from experiments.flows.cost import main


def test_both_ways_are_timed(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--flows", "2", "--steps", "2", "--rounds", "2", "--hidden", "6", "6"])
    table = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert len(table) == 2 + 2
    for line in table[2:]:
        stacked, in_turn, ratio = (float(cell) for cell in line.strip("|").split("|"))
        assert ratio == pytest.approx(in_turn / stacked, rel=0.02)
