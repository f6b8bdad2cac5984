"""The energy of trajectories is the program's and the network's made by hand; the tiny sweep runs."""

from pathlib import Path
from typing import Any

import cvxpy as cp
import numpy as np
import pytest
import torch

import decision
from experiments.energies import deciding, networks, training
from experiments.energies.cells import Made, Prepared, without_learning
from experiments.engine.pages import END, Page
from experiments.smoothing import choice, longer
from experiments.smoothing.cells import main
from experiments.smoothing.problem import Smoothing


@pytest.fixture(scope="module")
def problem() -> Smoothing:
    return Smoothing(9, (6, 2, 3))


def test_the_network_by_hand_is_the_energy(problem: Smoothing) -> None:
    data = problem.splits()[0]
    for x, theta, y in zip(data.x, data.context, data.y, strict=True):
        assert problem.by_hand(theta.numpy())(x.numpy()) == pytest.approx(y.numpy(), rel=1e-13)


def test_a_module_is_the_energy_for_every_context(problem: Smoothing) -> None:
    model, data = problem.module_by_hand(), problem.splits()[0]
    torch.testing.assert_close(model(data.x, data.context[:, None]), data.y, rtol=1e-12, atol=1e-14)
    nets = model.freeze(data.context)
    assert nets(data.x[:, 2].numpy()) == pytest.approx(data.y[:, 2].numpy(), rel=1e-12)


def test_the_exact_program_is_the_energy(problem: Smoothing) -> None:
    test = problem.splits()[2]
    x, least, _ = problem.references(test.context)
    program, variable, set_context = problem.program()
    for place, theta in enumerate(test.context.numpy()):
        set_context(theta)
        variable.value = x[place]
        assert program.objective.value == pytest.approx(least[place], rel=1e-12)
        answer = decision.decide(problem.by_hand(theta), problem.box, rtol=1e-7)
        assert float(answer.value[0]) == pytest.approx(least[place], abs=2e-7)


def test_the_kalman_smoother_minimises_the_quadratic_part(problem: Smoothing) -> None:
    theta = problem.splits()[2].context[:1]
    x, r = cp.Variable(problem.shape), theta[0].numpy()
    steps = cp.diff(cp.diff(x, axis=0), axis=0)
    cost = (cp.sum_squares(x - r) + 0.02 * cp.sum_squares(x)) / (2 * problem.n) + 0.2 / (2 * 7 * 4) * cp.sum_squares(
        steps
    )
    cp.Problem(cp.Minimize(cost)).solve(solver="CLARABEL", tol_gap_abs=1e-12, tol_gap_rel=1e-12)
    smoothed = problem.classical(theta)["kalman"][0]
    assert smoothed == pytest.approx(np.clip(x.value, -1, 1).ravel(), abs=1e-6)


@pytest.mark.parametrize("name", ["soc", "shape"])
def test_a_frozen_surrogate_is_the_module(problem: Smoothing, name: networks.Name) -> None:
    model = networks.make(problem, name, 0).double()
    data = problem.splits()[1]
    nets = model.freeze(data.context)
    values = model(data.x[:, 3], data.context)
    assert nets(data.x[:, 3].numpy()) == pytest.approx(values.detach().numpy(), rel=1e-10, abs=1e-12)
    assert torch.equal(values, networks.make(problem, name, 0).double()(data.x[:, 3], data.context))


def test_the_tiny_sweep_ends_with_a_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("experiments.energies.cells.FOLDER", tmp_path)
    main(["--preset", "tiny", "--out", str(tmp_path / "table.csv")])
    printed = capsys.readouterr().out
    assert "| 8 | softplus | paper | certified |" in printed
    assert "| 8 | shape | within | certified |" in printed
    assert "| 8 | - | - | kalman |" in printed
    kept = sorted(path.name for path in tmp_path.glob("version-*/*.pt"))
    assert kept == ["shape-within-0-8x4x24x8.pt", "softplus-paper-0-8x4x24x2.pt", "softplus-within-0-8x4x24x2.pt"]


def test_a_candidate_is_judged_on_validation_data() -> None:
    sizes = (6, 3, 99)
    data = choice.prepared(7, sizes)
    problem = Smoothing(7, (6, 3, 1))
    assert torch.equal(data.test.y, problem.splits()[1].y)
    rows: list[Any] = [
        choice.tried(T=7, units=units, epochs=1, seed=0, sizes=list(sizes), rtol=1e-5, version=1)[0] for units in (2, 3)
    ]
    row, wider = rows
    assert 0 < row["regret"] < 10
    assert row["gap"] <= 1e-5
    assert wider["parameters"] > row["parameters"]
    assert "| 2 | 1 |" in choice.table([{"units": 2, "epochs": 1, **row}])


def test_times_of_a_horizon() -> None:
    rows: list[Any] = longer.grown(T=6, rtol=1e-5, version=1)
    assert (rows[0]["inputs"], rows[0]["gap"] <= 1e-5) == (24, True)
    assert min(rows[0][name] for name in ("step_s", "decide_s", "exact_s", "peak_mb")) > 0
    assert longer.table([{"T": 6, **rows[0]}]).splitlines()[2].startswith("| 6 | 24 |")


def test_units_alone_are_decided_exactly(problem: Smoothing) -> None:
    theta = problem.splits()[2].context.float()
    model = networks.make(problem, "relu", 0)
    answer = deciding.certified(model, problem, theta, 1e-5, problem.methods["relu"])
    other = deciding.certified(model, problem, theta, 1e-5)
    assert answer.gap is not None
    assert answer.gap <= 1e-7
    nets = model.freeze(theta)
    assert nets(answer.x) == pytest.approx(nets(other.x), rel=1e-4)


def test_kept_weights_are_read_again(problem: Smoothing, tmp_path: Path) -> None:
    first, second = (networks.make(problem, "shape", seed) for seed in (0, 1))
    assert training.kept(tmp_path / "weights.pt", first, lambda: 2.5) == 2.5
    assert training.kept(tmp_path / "weights.pt", second, lambda: 0.0) == 2.5
    for own, other in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(own, other)


@pytest.mark.extra
def test_the_page_gets_its_table_and_figure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], problem: Smoothing
) -> None:
    pytest.importorskip("matplotlib")
    from experiments.smoothing import page

    place = Page("page.md", "make", tmp_path)
    monkeypatch.setattr(page, "FIGURE", tmp_path / "figure.png")
    monkeypatch.setattr(page, "SHOWN", (("shape", "within"),))
    place.path.write_text(f"head {place.begin} old {END} tail")
    prepared = Prepared.of(problem)
    made = Made("shape", "within", 0, (1, 1), tmp_path)
    made.trained(prepared)
    rows = [{"T": 9, "name": "exact", "way": "none", **row} for row in without_learning(prepared)]
    page.render(rows, place, prepared, (1, 1), tmp_path / "nothing", 1e-3)
    assert "the weights of shape (within) are not kept" in capsys.readouterr().out
    assert not page.FIGURE.exists()
    page.render(rows, place, prepared, (1, 1), tmp_path, 1e-3)
    assert "| 9 | - | - | kalman |" in place.path.read_text()
    assert page.FIGURE.stat().st_size > 10_000
