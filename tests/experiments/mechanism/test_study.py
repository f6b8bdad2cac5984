"""The mechanism of the lift on its small preset: structural zeros, the split trace, slopes, tables and figures."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from experiments.engine.tables import read_table, write_table
from experiments.mechanism.escape import escapes, exact
from experiments.mechanism.numbers import mean_interval, median_interval, number
from experiments.mechanism.probing import _loss, _parted, probed
from experiments.mechanism.study import ARMS, cells, main
from experiments.mechanism.tables import column, of, rendered, signs, slope
from experiments.positivity.jobs import generator, start
from socicnn.density import Energy, quadrature, target
from socicnn.positivity.diagnostics import probe
from socicnn.positivity.diagnostics._raws import raw_vector, read_outs

READS = {"lift", "one point", "no slack"}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("mechanism") / "mechanism.csv"
    main(["--preset", "tiny", "--out", str(path)])
    return path


def test_only_what_has_a_slack_and_reads_the_batch_has_a_cross_covariance(table: Path) -> None:
    training = of(read_table(table), study="training")
    assert {row["arm"] for row in training} == set(ARMS)
    for row in training:
        alive = row["arm"] in ("lift", "one point")
        assert (number(row["norm"]) > 0, number(row["trace"]) != 0) == (alive, alive)


def test_weights_of_a_fixed_batch_leave_as_those_of_the_step_where_nothing_reads_it(table: Path) -> None:
    for row in of(read_table(table), study="training"):
        if row["arm"] not in READS:
            assert row.get("leave") == row.get("leave_still")


def test_probes_split_the_trace(table: Path) -> None:
    probes = of(read_table(table), study="probe")
    assert {row["arm"] for row in probes} == READS
    for row in probes:
        parts = number(row["noise"]) + number(row["curvature"])
        assert parts == pytest.approx(row["trace"], rel=1e-5, abs=1e-5 * abs(number(row["noise"])))
        assert abs(number(row["cosine"])) <= 1
    assert 0 <= signs(of(probes, arm="lift"))[1] <= signs(of(probes, arm="lift"))[0] == 4


def test_tables_and_figures_are_made_of_the_rows(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("covariance", "shoulder", "escape"):
        assert table.with_name(f"mechanism_{name}.png").read_bytes().startswith(b"\x89PNG")
    equation = table.with_name("equation.csv")
    write_table(equation, of(read_table(table), study="escape"))
    main(["--preset", "tiny", "--out", str(equation), "--render"])
    assert capsys.readouterr().out.startswith(rendered(read_table(equation)))
    assert rendered(read_table(table)).count("| gumbel | seed | lift |") == 3


def test_signs_are_told_by_two_standard_errors() -> None:
    readings = [(-3.0, 1.0), (-1.0, 1.0), (0.5, 1.0), (2.5, 1.0), (9.0, 1.0)]
    assert signs([{"slack": True, "trace": t, "trace_error": e} for t, e in readings]) == (5, 2, 1, 2)


def lifted(seed: int = 0) -> Energy:
    """A lift whose heads have left zero."""
    model = start(1, (6, 6), {"given": "lift"}, "seed", seed).double().train()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("head"):
                parameter.normal_(0, 0.1, generator=generator(seed, 9))
    return model


def test_a_probe_reads_what_the_diagnostics_read() -> None:
    model, law = lifted().float(), target("gumbel")
    reading = probed(model, law, 8, 16, generator(0, 4), curvature=False)
    batches = list(law.sample(8 * 16, generator(0, 4)).reshape(8, 16, 1))

    def objective(batch: torch.Tensor) -> torch.Tensor:
        model.condition(batch)
        return _loss(model, law)(torch.cat([h.raw.reshape(-1) for _, h in read_outs(model)]), batch)

    wanted = probe(model, objective, batches)
    assert reading["norm"] == pytest.approx(wanted.norm, rel=1e-4)
    assert reading["trace"] == pytest.approx(wanted.trace, rel=1e-4, abs=1e-4 * wanted.norm)


def test_the_trace_is_the_slope_of_the_loss_in_the_size_of_the_fluctuation() -> None:
    """With a linear head it is <head, dL/dhead> less the part of the mean code: zero where training is at rest."""
    model, law = lifted(), target("gumbel")
    reading = probed(model, law, 6, 16, generator(0, 4), curvature=False)
    batches = law.sample(6 * 16, generator(0, 4), torch.float64).reshape(6, 16, 1)
    rule, holders = quadrature(law.lower, law.upper, dtype=torch.float64), read_outs(model)
    codes, raws = [], []
    model.zero_grad()
    for batch in batches:
        model.condition(batch)
        codes.append(holders[0][1].encoder().detach())
        raws.append(raw_vector(holders))
        (model.objective(batch, rule) / len(batches)).backward()
    code = torch.stack(codes).mean(dim=0)
    with torch.no_grad():
        slope_of = sum(
            float((holder.head * holder.head.grad).sum() - (code @ holder.head) @ holder.b.grad.reshape(-1))
            for _, holder in holders
        )
    assert reading["trace"] == pytest.approx(slope_of, rel=1e-4, abs=1e-6)


def test_independent_batches_read_zero_at_the_rate_of_the_root() -> None:
    draws = torch.Generator().manual_seed(0)
    theta, gradient = (torch.randn(512, 40, generator=draws, dtype=torch.float64) for _ in range(2))
    assert _parted(theta, gradient, 8) / _parted(theta, gradient, 128) == pytest.approx(4, rel=0.1)


def test_the_equation_has_the_law_of_a_brownian_motion() -> None:
    noises = [0.05, 0.1, 0.2]
    rows = escapes("none", "none", "equation", noises=noises, seeds=3, steps=1000, version=1)
    for sigma in noises:
        rate, mean = exact(sigma, 1000)
        assert sum(column(of(rows, sigma=sigma), "rate")) / 3 == pytest.approx(rate, abs=4 * (rate / 768) ** 0.5)
        assert sum(column(of(rows, sigma=sigma), "time")) / 3 == pytest.approx(mean, rel=0.15)
    assert slope(rows, 0.05) == pytest.approx(slope(rows, 0.05, "exact_time"), abs=0.15)


def test_the_mean_time_of_those_that_escape_falls_as_one_over_sigma() -> None:
    times = [exact(sigma, 1e9)[1] for sigma in (0.01, 0.02)]
    assert math.log(times[0] / times[1]) / math.log(2) == pytest.approx(1, abs=0.01)
    assert times[1] > (16 - 13.82) ** 2 / 0.02**2  # above the paper's envelope, its upper reference


def test_intervals_hold_what_they_say() -> None:
    draws = np.random.default_rng(0)
    samples = draws.standard_normal((400, 7))
    for interval in (mean_interval, median_interval):
        held = sum(low <= 0 <= high for _, low, high in map(interval, samples.tolist())) / len(samples)
        assert 0.93 < held < 0.998
    assert median_interval([1.0, 2.0])[1:] == (-math.inf, math.inf)


def test_the_paper_preset_covers_what_it_says() -> None:
    found = cells("paper")
    assert len(found) == 1 + 2 * 2 * len(ARMS)
    assert {len(cell.settings["seeds"]) for cell in found[1:]} == {5}
    assert found[1].settings["hidden"] == [64, 64, 64]
