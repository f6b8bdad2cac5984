"""The rows on image latents: paired counts and differences."""

from __future__ import annotations

from experiments.engine.tables import Row
from experiments.lift.latents import COMPONENTS, GAUSSIAN, LatentFits, claims

NATS = {
    "lift": (1.0, 2.0, 3.0),
    "softplus": (1.5, 1.75, 3.25),
    "projected": (4.0, 5.0, 2.5),
    COMPONENTS: (3.0,) * 3,
    GAUSSIAN: (9.0,) * 3,
}


def fits() -> LatentFits:
    rows: list[Row] = [
        {"model": model, "digit": digit, "seed": 0, "nll": nll}
        for model, values in NATS.items()
        for digit, nll in enumerate(values)
    ]
    return LatentFits(rows)


def test_counts_and_differences_are_paired() -> None:
    kept = fits()
    assert kept.lower("lift", "projected") == "2 of 3"
    assert kept.lower("lift", COMPONENTS) == "2 of 3"  # equal is not below
    assert kept.between("lift", "softplus") == "-0.167 [-0.500, 0.250]"
    assert kept.mean(GAUSSIAN) == "9.00"
    assert kept.seeds() == 1
    order, *_ = claims(kept)
    assert "projection below the Gaussian on 3 of 3" in order.ours
