"""What a row says: a claim, the paper's number, ours, and the verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from experiments.engine.tables import markdown

Verdict: TypeAlias = Literal["confirmed", "confirmed in part", "refuted", "not decidable here"]


@dataclass(frozen=True)
class Claim:
    """A claim of the paper, and what was found.

    Args:
        claim: in one sentence.
        where: figure, section or statement of the paper.
        theirs: the paper's number, or what it says instead of one.
        ours: our numbers, with seeds and interval.
        verdict: one of `Verdict`.
        why: the reason, or what limits the verdict.
    """

    claim: str
    where: str
    theirs: str
    ours: str
    verdict: Verdict
    why: str

    def __post_init__(self) -> None:
        if self.verdict not in get_args(Verdict):
            raise ValueError(f"verdict must be one of {get_args(Verdict)}; received {self.verdict!r}")


def table(claims: Sequence[Claim]) -> str:
    """Return the rows in Markdown."""
    return markdown(
        [
            {
                "claim": claim.claim,
                "where": claim.where,
                "the paper": claim.theirs,
                "here": claim.ours,
                "verdict": f"**{claim.verdict}**",
                "why": claim.why,
            }
            for claim in claims
        ]
    )
