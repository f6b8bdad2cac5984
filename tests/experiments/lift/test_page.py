"""The page of the lift's claims holds the rows that the kept tables give."""

from __future__ import annotations

import pytest

from experiments.lift.claims import Claim, table
from experiments.lift.gallery import Fits
from experiments.lift.page import PAGE, PARTS, rows


def test_the_page_holds_the_rows() -> None:
    text = PAGE.path.read_text(encoding="utf-8")
    assert text == PAGE.filled(text, rows())
    assert all(f"## {heading}" in text for heading in PARTS)


def test_a_row_says_how_many_seeds() -> None:
    fits = Fits()
    assert fits.tv("gumbel", "lift").endswith("(60)")
    wins = fits.wins("gumbel", "lift", "seed", "softplus", "seed")
    assert wins.split(" of ") == ["5", "5"]


def test_only_known_verdicts() -> None:
    row = {"claim": "a", "where": "b", "theirs": "c", "ours": "d", "why": "e"}
    assert "| **refuted** |" in table([Claim(**row, verdict="refuted")])
    with pytest.raises(ValueError, match="verdict must be one of"):
        Claim(**row, verdict="true")  # type: ignore[arg-type]
