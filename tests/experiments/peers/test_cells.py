from pathlib import Path

import pytest

from experiments.baselines.lpcf.process import interpreter
from experiments.decision import across
from experiments.decision import models as decision_models
from experiments.decision.instances import Instance, Sizes
from experiments.decision.tables import COLUMNS, OTHERS
from experiments.engine.tables import read_table
from experiments.peers import cells as peers
from experiments.peers.layers import END_TO_END_CONFIGURATIONS, LAYER_CONFIGURATIONS
from experiments.peers.lpcf import LPCF_CONFIGURATIONS, fit_of, source
from socicnn.errors import MissingExtra


def test_every_peer_has_at_least_the_tuning_budget_of_our_models() -> None:
    for configurations in (LPCF_CONFIGURATIONS, LAYER_CONFIGURATIONS, END_TO_END_CONFIGURATIONS):
        assert len(configurations) >= decision_models.TRIES
        assert len({str(given) for given in configurations}) == len(configurations)


def test_caps_are_the_same_in_every_cell_of_a_kind() -> None:
    cells = peers.cells(peers.PRESETS["paper"])
    assert len(cells) == 6 * 3 * 4 * 3  # tasks, n, kinds, seeds
    assert {cell.key["model"] for cell in cells} == set(OTHERS)
    assert len({cell.fingerprint for cell in cells}) == 3


def test_a_configuration_is_fitted_on_the_points_it_names() -> None:
    instance = Instance.of("box_socp", 3, Sizes(contexts=6, candidates=5, tests=2, tuning=2))
    sources = {0.0: instance.train, 0.5: source(instance, 0.5)}
    assert (sources[0.5].context == instance.train.context).all()
    caps = {"contexts": 4, "candidates": 3, "adam_epochs": 7, "lbfgs_epochs": 9}
    plain, near, other = (fit_of(LPCF_CONFIGURATIONS[number], sources, "lpcf", 2, caps) for number in (0, 5, 6))
    assert other.settings == plain.settings
    assert other.seed != plain.seed
    assert plain.data.x.shape == (4, 3, 3)
    assert plain.data.labels == 12
    assert (plain.data.y == instance.train.y[:4, :3]).all()
    assert not ((plain.data.x == 0) | (plain.data.x == 1)).any()
    assert ((near.data.x == 0) | (near.data.x == 1)).any()
    assert (plain.settings.adam_epochs, plain.settings.lbfgs_epochs, plain.settings.loss, plain.seed) == (
        7,
        9,
        "lpcf",
        2,
    )


def skip_without(model: str) -> None:
    """Skip a test if a peer is not installed."""
    if model == "lpcf":
        try:
            interpreter()
        except MissingExtra as error:
            pytest.skip(str(error))
    else:
        pytest.importorskip("diffcp")


@pytest.mark.extra
@pytest.mark.parametrize("model", ["lpcf", "cvxpylayers"])
def test_a_peer_contends_on_an_instance_of_its_own(model: str) -> None:
    skip_without(model)
    key = {"instance": 1, "task": "simplex_socp", "n": 3, "model": model, "loss": "within_context"}
    cell = across.cell(across.CONTESTS["tiny"], "", key)
    (row,) = cell.job(**cell.key, **cell.settings, **cell.places)
    assert (row["method"], row["contexts"], row["failed"], row["certified_share"]) == ("certified", 12, 0, 1.0)
    assert float(str(row["regret_mean"])) >= -1e-7


@pytest.mark.extra
@pytest.mark.parametrize(("model", "loss"), [("lpcf", "within_context"), ("cvxpylayers", "end_to_end")])
def test_tiny_rows_have_the_columns_of_the_benchmark(model: str, loss: str, tmp_path: Path) -> None:
    skip_without(model)
    out = tmp_path / "peers.csv"
    peers.main(["--out", str(out), "--only", f"model={model}", f"loss={loss}"])
    rows = read_table(out)
    assert [row["method"] for row in rows] == ["certified", "exact"]
    for row in rows:
        assert set(COLUMNS) <= set(row)
        assert all(row[column] is not None for column in COLUMNS)
        assert row["infeasibility"] <= 1e-9
        assert row["relative_gap_max"] <= 1e-4
        assert row["regret_mean"] >= -1e-7
    assert rows[0]["regret_mean"] == pytest.approx(rows[1]["regret_mean"], abs=1e-3)
