"""Flows over seeds: the tiny run finishes, lifts are emitted from training points, and the law has its entropy."""

import math
from pathlib import Path

import pytest
import torch

from experiments.engine.tables import read_table
from experiments.flows.cells import PRESETS, begun, cells, judged, main
from experiments.flows.tables import entropy_of_eight_gaussians, summary
from socicnn.density import ComposedFlow, cloud, negative_log_likelihood


def test_the_tiny_run_finishes_and_is_summed_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "flows.csv"
    main(["--preset", "tiny", "--out", str(out)])
    rows = read_table(out)
    assert len(rows) == 2 + 2 + 2
    assert all(float(str(row["residual"])) < 1e-8 for row in rows)
    assert {row["recipe"] for row in rows if row.get("nll_emitted_from_test") is not None} == {"lift"}
    assert summary(rows) in capsys.readouterr().out
    paper = PRESETS["paper"]
    assert len(paper.arms) == 34
    assert len(cells("paper")) == 28 * paper.seeds // paper.together + 6 * 3


def test_lifts_are_finalised_on_training_points() -> None:
    law = cloud("two_spirals")
    train, test = (law.sample(64, torch.Generator().manual_seed(seed), torch.float64) for seed in (0, 1))
    flow = begun(train.float(), (5,), {"given": "lift"}, "seed", 2, 0)
    assert isinstance(flow, ComposedFlow)
    with torch.no_grad():
        for name, parameter in flow.named_parameters():
            if name.endswith("head"):
                parameter.normal_(0, 0.5, generator=torch.Generator().manual_seed(2))
    row = judged(flow, train.float(), test)
    for column, data in (("nll", train), ("nll_emitted_from_test", test)):
        plain = flow.finalise(data.float()).double()
        assert row[column] == pytest.approx(negative_log_likelihood(plain, None, test), rel=1e-4)
    assert row["nll"] != pytest.approx(row["nll_emitted_from_test"], rel=1e-5)


def test_entropy_of_the_eight_gaussians() -> None:
    apart = math.log(8) + 1 + math.log(2 * math.pi * (0.5 / 1.414) ** 2)  # of laws that do not overlap
    assert entropy_of_eight_gaussians(20_000) == pytest.approx(apart, abs=0.02)
