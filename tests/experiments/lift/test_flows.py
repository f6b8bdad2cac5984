"""The rows on flows: medians, pairs and changes from rows of a sweep, and what is said of slices."""

from __future__ import annotations

from experiments.engine.tables import Row
from experiments.lift.flows import NOT_RUN, FlowFits, Slices


def fits() -> FlowFits:
    shared: Row = {"law": "two_spirals", "start": "seed", "learning_rate": 1e-3, "blocks": 1}
    lift: list[Row] = [
        {**shared, "recipe": "lift", "seed": seed, "nll": nll, "nll_emitted_from_test": nll - 0.1 * seed}
        for seed, nll in enumerate((2.0, 3.0, 2.5))
    ]
    direct: list[Row] = [
        {**shared, "recipe": "softplus", "seed": seed, "nll": nll} for seed, nll in enumerate((2.8, 2.9))
    ]
    return FlowFits([*lift, *direct])


def test_medians_pairs_and_changes() -> None:
    kept = fits()
    assert kept.nats("two_spirals", "lift") == "2.5 [2, 3] (3)"
    assert kept.wins("two_spirals") == "1 of 2"
    assert kept.apart("two_spirals") == "2 of 3"
    assert kept.compared("two_spirals") == (
        "lift, authors' start 2.5 [2, 3] (3); direct softplus, authors' start 2.85 [2.8, 2.9] (2); "
        "the lift below direct softplus in 1 of 2 pairs from the authors' start"
    )
    assert kept.moved() == "-0.1 [-0.2, 0], at most 0.2 (3)"
    assert kept.nats("two_spirals", "lift", "principled") == kept.wins("eight_gaussians") == NOT_RUN
    assert FlowFits([]).moved() == Slices([]).summary() == FlowFits([]).apart("two_spirals") == NOT_RUN


def test_slices_are_summed_up() -> None:
    def path(plane: str, recipe: str, losses: list[float]) -> list[Row]:
        shared: Row = {"kind": "path", "plane": plane, "recipe": recipe, "kept": 0.5}
        return [{**shared, "step": 10 * k, "loss": loss} for k, loss in enumerate(losses)]

    grids: list[Row] = [
        {"kind": "grid", "plane": plane, "loss": loss}
        for plane in ("random", "random direct")
        for loss in (5.0, 2.0, 3.0)
    ]
    grids += [{"kind": "grid", "plane": "lifted", "loss": 2.0}, {"kind": "grid", "plane": "lifted"}]
    segment: list[Row] = [{"kind": "segment", "plane": "ends", "loss": loss} for loss in (3.0, 3.5, 2.0)]
    text = Slices(
        [
            *grids,
            *segment,
            *path("ends", "lift", [6.0, 2.0]),
            *path("ends", "softplus", [6.0, 3.0]),
            *path("lifted", "lift", [6.0, 2.0]),
        ]
    ).summary()
    assert "10 steps: lift 2.00, direct softplus 3.00" in text
    assert "rises by 0.5 above" in text
    assert "by 0 (lift) and 0 (direct softplus)" in text
    assert "1 of 2 points are no flow" in text
