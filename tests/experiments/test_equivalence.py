"""Experiment 1 on its small preset: rows, resuming, and the rendered table."""

from pathlib import Path

import numpy as np
import pytest

from experiments.engine.tables import read_table
from experiments.equivalence import METRICS, SOLVER_METRICS, cells, main, random_network, rendered


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("equivalence") / "equivalence.csv"
    main(["--preset", "tiny", "--out", str(path)])
    return path


def test_a_row_a_trial_with_every_metric(table: Path) -> None:
    rows = read_table(table)
    assert len(rows) == len(cells("tiny")) == 12
    names = ("preset", "passthrough", "biases", "seed", "trial", "forward", "dual", "gap", *METRICS)
    names += tuple(f"solver_{name}" for name in SOLVER_METRICS)
    names += ("solver_status", "solver_error", "lo", "hi", "forward_ms", "certificate_ms", "solver_ms")
    for row in rows:
        assert set(names) <= set(row)
        assert row["solver_status"] == "solved"
        assert row["solver_error"] < 1e-6 * (1 + abs(row["forward"]))
        assert row["gap"] < 1e-12 * (1 + abs(row["forward"]))
        assert row["lo"] <= row["forward"] <= row["hi"]
        assert 0 < row["forward_ms"] < row["solver_ms"]
    assert len({row["forward"] for row in rows}) == 12


def test_finished_trials_are_not_run_again(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = table.read_text()
    main(["--preset", "tiny", "--out", str(table)])
    assert table.read_text() == before
    assert "12 of 12 cells" in capsys.readouterr().out


def test_the_rendered_table(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--preset", "tiny", "--out", str(table), "--render"])
    text = capsys.readouterr().out
    assert text.strip() == rendered(read_table(table))
    assert "| solver success | 3 / 3 | 3 / 3 | 3 / 3 | 3 / 3 |" in text
    assert "primal-dual gap" in text
    assert "Clarabel / certificate" in text


def test_the_paper_preset_is_that_of_the_paper() -> None:
    found = cells("paper")
    assert len([cell for cell in found if not cell.key["biases"]]) == 300
    assert found[0].settings["n"] == 100
    assert (found[0].settings["width"], found[0].settings["depth"], found[0].settings["rows"]) == (256, 6, 24)


def test_networks_follow_the_laws_of_the_experiment() -> None:
    rng = np.random.default_rng(0)
    net = random_network(rng, n=50, width=60, depth=3, blocks=2, rows=24, passthrough=True, biases=False)
    assert net.hidden_features == (60, 60, 60)
    assert np.var(net.layers[0].U) == pytest.approx(1 / 50, rel=0.1)
    assert net.layers[1].W.min() >= 0
    assert net.layers[1].W.max() <= 2 / 60
    assert net.layers[1].W.mean() == pytest.approx(1 / 60, rel=0.05)
    assert not any(np.any(layer.b) for layer in net.layers)
    assert [quad.A.shape for quad in net.quadratics] == [(24, 50)] * 2
    bare = random_network(rng, n=5, width=6, depth=3, blocks=1, rows=2, passthrough=False, biases=True)
    assert bare.layers[1].U.shape == (6, 5)
    assert bare.layers[1].U.size == 0
    assert np.any(bare.layers[1].b)
