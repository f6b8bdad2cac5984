"""The tables are prepared as they say, yardsticks are densities, and the tiny run finishes."""

import math
from pathlib import Path

import numpy as np
import pytest

from experiments.densities import cells as densities
from experiments.densities.data import Split, dequantised, independent, load
from experiments.densities.energies import VARIANTS
from experiments.densities.tables import error, summary
from experiments.densities.yardsticks import YARDSTICKS
from experiments.engine.tables import Row, read_table
from experiments.positivity.jobs import start


def test_columns_lose_ties_and_dependence() -> None:
    rng = np.random.default_rng(0)
    X = rng.integers(0, 5, size=(200, 4)) * 0.25
    whole = np.column_stack([X[:, 0], X[:, 0] + 2 * X[:, 1], X[:, 1], X[:, 2:]])
    np.testing.assert_array_equal(independent(whole), whole[:, [0, 1, 3, 4]])
    noisy = dequantised(X, rng)
    assert np.unique(noisy).size == noisy.size
    assert ((noisy >= X) & (noisy < X + 0.25)).all()


def test_splits_are_standardised_by_their_training_rows() -> None:
    data, again, other = load("product", 0), load("product", 0), load("product", 1)
    assert [len(part) for part in (data.train, data.validation, data.test)] == [1200, 150, 150]
    np.testing.assert_allclose(data.train.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(data.train.std(axis=0), 1)
    np.testing.assert_array_equal(data.test, again.test)
    assert not np.array_equal(data.test, other.test)


def test_variants_have_widths_and_recipes_of_their_own() -> None:
    def count(widths: tuple[int, ...], recipe: str) -> int:
        return sum(p.numel() for p in start(6, widths, {"given": recipe}, "principled", 0).parameters())

    wanted, widths = count((8, 8), "lift"), VARIANTS["softplus-widened"].widths((8, 8), 6)
    assert count(widths, "softplus") >= wanted > count((widths[0] - 1,) * 2, "softplus")
    assert VARIANTS["softplus-wide"].widths((8, 8), 6) == (512,) * 5
    assert VARIANTS["admm-doubling"].widths((8, 8), 6) == (8, 8)
    runs = {(str(cell.key["data"]), str(cell.key["model"])) for cell in densities.cells("paper")}
    assert all(("cardiotocography", f"admm-{schedule}") in runs for schedule in ("fixed", "balancing", "doubling"))
    assert {data for data, model in runs if model == "softplus-wide"} == {"power"}


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.extra, pytest.mark.slow] * (name == "spline flow")) for name in YARDSTICKS],
)
def test_yardsticks_have_mass_one(name: str) -> None:
    if name == "spline flow":
        pytest.importorskip("zuko")
    rng = np.random.default_rng(0)
    points = rng.normal(size=(400, 2)) @ np.array([[1.0, 0.6], [0.0, 0.5]])
    wide = 3.0 * rng.normal(size=(20_000, 2)) @ np.array([[1.0, 0.6], [0.0, 0.5]])
    log_q = -0.5 * (np.linalg.solve(np.array([[1.0, 0.6], [0.0, 0.5]]).T, wide.T / 3) ** 2).sum(axis=0)
    log_q -= math.log(2 * math.pi) + math.log(9 * 0.5)
    weights = np.exp(YARDSTICKS[name](Split(points[:300], points[300:], wide), 0) - log_q)
    assert abs(weights.mean() - 1) < 4 * weights.std() / math.sqrt(len(weights)) < 0.15


def test_errors_and_tables() -> None:
    rows: list[Row] = [
        {"data": "d", "model": "lift", "start": "principled", "learning_rate": 1e-3, "seed": seed, "nll": 3.0 + seed,
         "sampling_error": 0.03, "log_z": 1.0, "log_z_error": 0.04, "log_z_direct": 1.2, "log_z_direct_error": 0.03,
         "effective_sample_size": 90.0, "effective_sample_size_direct": 20.0, "seconds": 1.0}
        for seed in range(2)
    ]  # fmt: skip
    rows += [{"data": "d", "model": "kernel", "start": "none", "learning_rate": 0.0, "seed": 0, "nll": 2.0,
              "sampling_error": 0.1, "seconds": 2.0}]  # fmt: skip
    assert error(rows[:1]) == pytest.approx(0.05)
    assert error(rows[:2]) == pytest.approx(0.5)
    lines = summary(rows).splitlines()
    assert lines[-2] == "| kernel |  |  | 2.000 +- 0.100 |  |  | 2 | 1 |"
    assert lines[-1].startswith("| lift | principled | 0.001 | 3.500 +- 0.500 | -0.200 +- 0.050 | 90 / 20 unreliable |")


def test_the_tiny_run_finishes_and_is_summed_up(tmp_path: Path) -> None:
    out = tmp_path / "densities.csv"
    densities.main(["--preset", "tiny", "--out", str(out)])
    rows = read_table(out)
    assert len(rows) == 8
    assert all(math.isfinite(float(str(row["nll"]))) for row in rows)
    assert all(float(str(row["effective_sample_size"])) > 50 for row in rows if row["start"] == "principled")
    assert "## product" in out.with_suffix(".md").read_text()
    assert len(densities.cells("paper")) == 3 * (3 * (15 + 5 + 6) + 2)


def test_the_page_holds_the_kept_rows() -> None:
    text = densities.PAGE.path.read_text(encoding="utf-8")
    assert text == densities.PAGE.filled(text, densities.page())
