"""Slices of flows: the tiny run has all planes, the centre is the trained lift, and what is no flow has no loss."""

import math
from pathlib import Path

import pytest
import torch

from experiments.engine.tables import read_table
from experiments.flows.landscape import kept_share, loss_of, main
from experiments.mechanism.numbers import number
from experiments.mechanism.tables import of
from socicnn.density import PotentialFlow, cloud, negative_log_likelihood
from socicnn.positivity.diagnostics import Plane, snapshot


def test_the_tiny_run_slices_all_planes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "flows_landscape.csv"
    main(["--preset", "tiny", "--out", str(out)])
    rows = read_table(out)
    assert str(out.with_suffix(".png")) in capsys.readouterr().out
    ends = [row for row in of(rows, kind="path", recipe="lift") if row["step"] == 12]
    segment = of(rows, kind="segment")
    for plane in ("ends", "lifted", "random"):
        grid = of(rows, kind="grid", plane=plane)
        assert len(grid) == 9
        (centre,) = (row for row in grid if row["alpha"] == row["beta"] == 0)
        assert all(number(row["loss"]) == pytest.approx(number(centre["loss"]), rel=1e-5) for row in ends)
    assert number(segment[-1]["loss"]) == pytest.approx(number(ends[0]["loss"]), rel=1e-5)
    assert all(0 < number(row["kept"]) <= 1 + 1e-9 for row in of(rows, kind="path"))


@pytest.mark.parametrize("recipe", ["lift", "softplus"])
def test_the_loss_is_that_of_the_finalised_flow(recipe: str) -> None:
    law, draw = cloud("two_spirals"), torch.Generator().manual_seed(0)
    train, test = law.sample(50, draw), law.sample(60, draw)
    flow = PotentialFlow.dense(2, (5, 4), positivity=recipe, generator=draw)
    expected = negative_log_likelihood(flow.finalise(train), None, test)
    assert loss_of(flow, train, test)(snapshot(flow)) == pytest.approx(expected, rel=1e-5)
    plain = flow.finalise(train)
    loss, centre = loss_of(plain, train, test), snapshot(plain)
    assert loss(centre) == pytest.approx(expected, rel=1e-5)
    last = "network.vectors.positive.w.theta"
    concave = {**centre, "w1": torch.full_like(centre["w1"], 1e3), last: -centre[last] - 1}
    assert math.isnan(loss(concave))


def test_the_plane_holds_what_lies_in_it() -> None:
    centre = {"W": torch.eye(3, dtype=torch.float64)}
    plane = Plane.random(centre, torch.Generator().manual_seed(0))
    assert kept_share(plane, [plane.at(0.3, -2.0), plane.at(1.0, 0.5)]) == pytest.approx(1)
    beside = {"W": torch.linspace(0, 1, 9, dtype=torch.float64).reshape(3, 3)}
    assert 0 < kept_share(plane, [beside]) < 0.9
