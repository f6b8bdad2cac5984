"""Experiment 2: the targets and sizes are the paper's, readings are made of the rows alone, the tiny run finishes."""

import math
from pathlib import Path

import pytest
import torch

from experiments.approximation.additive import AdditiveMeanSquare, is_additive
from experiments.approximation.cells import FRONTIER_D, ON_FRONTIER, PAGE, cells, main
from experiments.approximation.descent import descend
from experiments.approximation.plots import frontier, regimes
from experiments.approximation.shapes import CHOICE, FRONTIER, NETWORKS, PAPER, SMOOTH, most, shape
from experiments.approximation.slopes import CHUNK, MeanSquare, written_out
from experiments.approximation.starts import REVIVED, Small, on_axes, revive
from experiments.approximation.tables import bars, best_of, by_target, chosen, missing, rendered, wins
from experiments.approximation.targets import TARGETS, drawn, relative_error
from experiments.approximation.yardsticks import lpcf_parameters
from experiments.engine.options import RESULTS
from experiments.engine.tables import Row, Value, read_table
from socicnn import SOCICNN
from socicnn.training import Data

KEPT = RESULTS / "approximation.csv"


@pytest.mark.parametrize("name", TARGETS)
def test_targets_are_convex(name: str) -> None:
    x, other = drawn(name, 5, 0, (60, 60, 1))[:2]
    middle = TARGETS[name]((x.x + other.x) / 2)
    assert (middle <= (x.y + other.y) / 2 + 1e-12 * x.y.abs().max()).all()


def test_targets_have_the_papers_values() -> None:
    x = torch.tensor([[3.0, -0.5]], dtype=torch.float64)
    softplus = math.log1p(math.exp(3)) + math.log1p(math.exp(-0.5))
    quadratic, norm = 0.25 * (0.5 * 9 + 2 * 0.25), 0.7 * math.sqrt(2 * 9 + 0.5 * 0.25)
    planes = max(-3 - 0.5 + 0.2, 3 + 0.5 - 0.1, -3 - 0.5 + 0.4)
    wanted = {
        "QuadraticIso": 4.625,
        "QuadraticAniso": 0.5 * (0.5 * 9 + 2.5 * 0.25),
        "NormEuclid": math.sqrt(9.25),
        "NormAniso": math.sqrt(9 + 10 * 0.25),
        "Mixed": quadratic + norm + planes,
        "SoftplusSum": softplus,
        "LogSumExpQuad": math.log(math.exp(3) + math.exp(-0.5)) + 0.925,
        "Huber": 2.5 + 0.125,
        "L1Norm": 3.5,
        "ICKANPaperTarget": 3.5 + 2 + 1.5 + 0.25 * (0.5 * 9 + 2 * 0.25),
    }
    assert {name: float(TARGETS[name](x)) for name in TARGETS} == pytest.approx(wanted, rel=1e-12)


def test_seeds_share_the_points_that_judge() -> None:
    one, other = drawn("Huber", 5, 0, (20, 6, 6)), drawn("L1Norm", 5, 1, (20, 6, 6))
    assert torch.equal(one[1].x, other[1].x)
    assert torch.equal(one[2].x, other[2].x)
    assert not torch.equal(one[0].x, other[0].x)
    assert torch.equal(one[0].x, drawn("Mixed", 5, 0, (20, 6, 6))[0].x)


@pytest.mark.parametrize("model", PAPER)
def test_sizes_are_the_papers_and_other_shapes_have_no_more_parameters(model: str) -> None:
    for d, wanted in PAPER[model].items():
        assert shape(model, d, "paper").parameters(d) == wanted
        for name in {*CHOICE, *FRONTIER} if d == FRONTIER_D else CHOICE:
            sizes = shape(model, d, name)
            network = sizes.network(d, positivity="softplus")
            assert sum(parameter.numel() for parameter in network.parameters()) == sizes.parameters(d)
            assert name in FRONTIER or 0.85 * most(d) <= sizes.parameters(d) <= most(d)
    assert lpcf_parameters(5, 16) == 16 * 16 + 16 + 33 * 5 + 33 + 15


def test_every_cell_of_the_issue_is_there_once() -> None:
    found = [cell.key for cell in cells("converged")]
    assert len({tuple(key.values()) for key in found}) == len(found)
    for preset in ("paper", "converged"):
        there = {(k["target"], k["d"], k["model"]) for k in found if k["preset"] == preset and k["shape"] == "paper"}
        models = [model for model in PAPER if preset == "converged" or model not in SMOOTH]
        assert there == {(t, d, model) for t in TARGETS for model in models for d in PAPER[model]}
    assert {key["shape"] for key in found if key["target"] == ON_FRONTIER[0]} >= {*FRONTIER, *CHOICE}
    by_key = {tuple(cell.key.values()): cell.settings["seeds"] for cell in cells("paper")}
    assert by_key["converged", "Mixed", 20, "soc", "paper", 0] == [0, 1, 2]
    for key in ((5, "soc", "wide"), (50, "soc", "paper"), (10, "lpcf", "own")):  # long cells: the first seed first
        first, later = (by_key["converged", "Mixed", *key, block] for block in (0, 1))
        assert [*first, *later] == [0, 1, 2]


def test_starts() -> None:
    draws = torch.Generator().manual_seed(0)
    network = shape("soc", 5, "paper").network(5, positivity="softplus", initialiser=Small(), generator=draws)
    assert float(network.W[0]().detach().mean()) == pytest.approx(0.05, abs=0.01)
    lengths = network.U[0].detach().norm(dim=1)
    on_axes(network, torch.ones(5), draws)
    for part in (network.U[0], network.A[0].full, network.C[0].full):
        rows = part.detach()
        largest = rows.abs().amax(dim=1)
        assert (largest >= 0.85 * rows.norm(dim=1)).all()
    assert network.U[0].detach().abs().argmax(dim=1).tolist() == [row % 5 for row in range(16)]
    torch.testing.assert_close(network.U[0].detach().norm(dim=1), lengths, rtol=0.11, atol=0.0)

    uphill = torch.tensor([1.0, -2.0, 3.0, -4.0, 5.0])
    network = shape("logsumexp", 5, "paper").network(5, positivity="square", generator=draws)
    on_axes(network, uphill, draws)
    assert torch.equal(network.smooth.G[0].full.detach().diagonal().sign(), uphill.sign().double())


@pytest.mark.parametrize("model", PAPER)
def test_gradients_written_out_are_those_of_autograd(model: str) -> None:
    draws = torch.Generator().manual_seed(3)
    for name in ("paper", "wide", "other"):
        network = shape(model, 5, name).network(5, positivity="square", generator=draws).double()
        x = torch.randn(CHUNK + 7, 5, generator=draws, dtype=torch.float64)
        y, parameters = x.abs().sum(dim=1), list(network.parameters())
        with torch.no_grad():
            for parameter in parameters:  # offsets and biases away from zero
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=draws, dtype=torch.float64))
        loss = (network.standard_value(x) - y).square().mean()
        slopes = torch.cat([slope.ravel() for slope in torch.autograd.grad(loss, parameters)])
        flat = torch.cat([parameter.detach().ravel() for parameter in parameters])
        value, found = (AdditiveMeanSquare if model == "ickan" else MeanSquare)(network, x, y)(flat)
        assert value == pytest.approx(loss.item(), rel=1e-12)
        torch.testing.assert_close(found, slopes, rtol=0, atol=1e-12 * float(slopes.abs().max()))
    assert is_additive(network) if model == "ickan" else written_out(network)
    assert not written_out(SOCICNN(5, (4,), (), (), logistic=(2,), logsumexp=(2,)))


def test_norms_that_died_are_found_again() -> None:
    """Of y = ||x||, with C, its offset and gamma near zero: gradient steps alone stay there."""
    draws = torch.Generator().manual_seed(0)
    x = torch.randn(400, 3, generator=draws, dtype=torch.float64)
    train, validation = (Data(part, None, torch.linalg.vector_norm(part, dim=1)) for part in (x[:300], x[300:]))

    network = SOCICNN(3, (2,), (3,), (3,), quadratic_offset=False, positivity="square", generator=draws)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "gamma" in name or name.startswith("C.") or name == "vectors.free.d1":
                parameter.mul_(1e-4)
    best = descend([network], train, validation, screen=20, polish=60, generator=draws)
    assert relative_error(best(validation.x).detach(), validation.y) < 1e-4


def test_only_norms_that_died_are_drawn_anew() -> None:
    draws = torch.Generator().manual_seed(0)
    network = shape("soc", 5, "other").network(5, positivity="square", generator=draws)
    before = [part.full.detach().clone() for part in network.C]
    with torch.no_grad():
        network.C[1].full.mul_(1e-4)
        network.C[2].full.mul_(1e-4)
    revive(network, draws)
    after = [part.full.detach() for part in network.C]
    assert [torch.equal(a, b) for a, b in zip(after, before, strict=True)].count(False) == 2
    drawn_anew = torch.cat([after[1], after[2]])
    assert 0.3 * REVIVED < float(drawn_anew.norm(dim=1).mean()) * 2 < 3 * REVIVED


def test_only_rows_of_a_logistic_branch_that_died_are_drawn_anew() -> None:
    draws = torch.Generator().manual_seed(0)
    network = shape("logistic", 5, "paper").network(5, positivity="square", generator=draws)
    rows = network.smooth.S[0].full
    with torch.no_grad():
        network.vectors.positive["omega1"].raw.fill_(1.0)
        rows.copy_(torch.eye(5))
        rows[1:3] *= 1e-2
    revive(network, draws)
    assert torch.equal(rows.detach()[[0, 3, 4]], torch.eye(5, dtype=rows.dtype)[[0, 3, 4]])
    assert (rows.detach()[1:3].amax(dim=1) > 0.8).all()


def rows_of(table: dict[str, dict[str, tuple[float, float, float]]], **common: Value) -> list[Row]:
    """Return rows of SOC and the others on Huber at d = 5: relative errors by model and shape, one per seed."""
    return [
        {
            "preset": "converged", "target": "Huber", "d": 5, "model": model, "shape": name, "seed": seed, "block": 0,
            "parameters": 800, "relative_error": error, "validation_error": 2 * error, "train_s": 60.0, **common,
        }
        for model, shapes in table.items()
        for name, errors in shapes.items()
        for seed, error in enumerate(errors)
    ]  # fmt: skip


def test_readings_are_made_of_the_rows() -> None:
    same = (0.02, 0.03, 0.04)
    table = {model: dict.fromkeys(CHOICE, same) for model in NETWORKS}
    table["soc"] = {"paper": (0.03, 0.03, 0.06), "wide": (0.001, 0.0, 0.0), "other": (0.002, 0.0, 0.0)}
    table["quad"]["paper"] = (0.01, 0.02, 0.03)
    rows = rows_of(table)
    assert chosen(rows, "Huber", 5, "soc") == ("wide", 0.001)
    assert "| **2.0e-2 (1.0e-2 to 3.0e-2)** |" in by_target(rows, "converged", 5)
    lines = wins(rows).splitlines()
    assert lines[3] == "| training to the end, the paper's shapes | 1 | 0 | 0 | 1 | 0 | 0 |"
    assert lines[4] == "| training to the end, shapes chosen on validation data | 1 | 0 | 0 | 0 | 0 | 1 |"
    assert chosen([row for row in rows if row["shape"] != "other"], "Huber", 5, "soc") is None
    assert best_of({"relu": 0.1, "soc": None}) == "-"


def test_a_bar_is_met_or_not_by_the_mean_over_the_seeds() -> None:
    rows = rows_of({"soc": {"paper": (0.0005, 0.0005, 0.0029)}}, target="Mixed")
    assert "not met" in bars(rows)
    assert ", met" in bars(rows_of({"soc": {"paper": (0.0005, 0.0005, 0.0008)}}, target="Mixed"))


def test_what_is_missing_is_said() -> None:
    keys = [cell.key for cell in cells("paper")]
    rows = [{**key, "relative_error": 0.1} for key in keys[1:]]
    assert "| paper | five networks | the paper's | 49 of 50 | 50 of 50 |" in missing(rows, keys)
    assert not missing([*rows, {**keys[0]}], keys)


def test_figures_are_drawn_of_the_rows(tmp_path: Path) -> None:
    table = {model: {name: (0.01 + i, 0.02, 0.03) for i, name in enumerate(FRONTIER)} for model in NETWORKS}
    rows = [row for target in ON_FRONTIER for row in rows_of(table, target=target)]
    for number, row in enumerate(rows):
        row["parameters"] = 500 + number
    rows += [{**row, "preset": "paper", "relative_error": 0.5 + i / 99} for i, row in enumerate(rows)]
    pictures = frontier(rows, 5, ON_FRONTIER, tmp_path / "a.png"), regimes(rows, 5, tmp_path / "b.png")
    assert all(picture is not None and picture.read_bytes().startswith(b"\x89PNG") for picture in pictures)
    assert frontier([], 5, ON_FRONTIER, tmp_path / "none.png") is None


def test_the_tiny_run_finishes_and_its_table_grows(tmp_path: Path) -> None:
    out = tmp_path / "approximation.csv"
    main(["--preset", "tiny", "--out", str(out), "--only", "target=NormEuclid", "model=soc,ickan"])
    first = read_table(out)
    assert [(row["model"], row["seed"]) for row in first] == [("soc", 0), ("soc", 1), ("ickan", 0), ("ickan", 1)]
    main(["--preset", "tiny", "--out", str(out)])
    rows = read_table(out)
    assert len(rows) == 2 * 7 * 2
    assert [row for row in rows if row in first] == first
    assert all(0 < float(str(row["relative_error"])) < 1 for row in rows)


def test_the_page_has_the_tables_of_the_kept_rows() -> None:
    text = PAGE.path.read_text(encoding="utf-8")
    keys = [cell.key for cell in cells("converged")]
    assert text == PAGE.filled(text, rendered(read_table(KEPT), keys))


def test_an_exact_prediction_has_no_error() -> None:
    y = torch.tensor([3.0, 4.0])
    assert relative_error(y, y) == 0
    assert relative_error(torch.zeros(2), y) == 1
