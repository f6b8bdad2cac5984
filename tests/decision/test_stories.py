"""Two users' stories, told as they would tell them: a schedule over a day, and a stock with a simulator of its own."""

import csv
import json
from pathlib import Path

import numpy as np
import torch
from typer.testing import CliRunner

import decision
import socicnn
from decision import Affine, Horizon, surrogates
from socicnn.frozen import FrozenNet, Layer, Output, Quadratic
from socicnn_cli import app

T = 24


def test_a_day_of_storage_whose_set_moves_with_the_day(tmp_path: Path) -> None:
    """The energy engineer: a learned bill of 24 hours, levels that move with the day, in Python and on the command."""
    rng = np.random.default_rng(0)
    price = 2.0 + np.sin(2 * np.pi * np.arange(T) / T)
    bill = FrozenNet(
        [Layer(None, np.kron(np.eye(T), [[1.0, -1.0]]), rng.uniform(-1.0, 0.0, size=T))],  # net purchases above a limit
        Output(np.full(T, 0.5), np.stack([price, -price], axis=1).reshape(-1)),
        [Quadratic(0.01, np.eye(2 * T))],
    )
    level = {"bias": [0.0], "weight": [[1.0]]}
    day = Horizon.storage(
        T, capacity=10.0, power=3.0, initial=Affine([0.0], [[1.0]]), final=5.0, efficiency=0.9, inputs=(0, 1)
    )
    starts = [[2.0], [5.0], [8.0]]
    answer = decision.decide(bill, day, starts)
    assert answer.certified.all(), answer.status
    charge, discharge = answer.x.reshape(3, T, 2).unbind(dim=2)
    levels = torch.tensor(starts) + (0.9 * charge - discharge / 0.9).cumsum(dim=1)
    assert levels.min() >= -1e-9
    assert levels.max() <= 10 + 1e-9
    torch.testing.assert_close(levels[:, -1], torch.full((3,), 5.0, dtype=torch.float64))

    bill.save(tmp_path / "bill.safetensors")
    spec = {"set": "storage", "steps": T, "capacity": 10, "power": 3, "initial": level, "final": 5, "efficiency": 0.9}
    (tmp_path / "day.json").write_text(json.dumps({**spec, "inputs": [0, 1]}))
    np.savetxt(tmp_path / "days.csv", starts, header="theta0", comments="", delimiter=",")
    words = ["decide", "bill.safetensors", "--set", "day.json", "--context", "days.csv", "--out", "x.csv"]
    run = CliRunner().invoke(app, [str(tmp_path / word) if "." in word else word for word in words])
    assert run.exit_code == 0, run.output
    with (tmp_path / "x.csv").open() as stream:
        rows = [[float(row[f"x{i}"]) for i in range(2 * T)] for row in csv.DictReader(stream)]
    np.testing.assert_allclose(rows, answer.x, atol=1e-12)


def test_a_stock_with_a_simulator_of_its_own(tmp_path: Path) -> None:
    """The researcher: a simulator, labels, a surrogate, active rounds, regret; nothing but public names."""
    demand = np.random.default_rng(0).gamma(2.0, 0.1, size=(50, 1, 3))

    def cost(x: np.ndarray, theta: np.ndarray) -> np.ndarray:
        short = theta + demand - x
        return (np.maximum(-short, 0) + 4 * np.maximum(short, 0)).sum(axis=-1).mean(axis=0)

    task = decision.problem(
        cost, decision.Box(3, 0.0, 2.0), sample_contexts=lambda count, rng: rng.uniform(0.2, 1.2, size=(count, 3))
    )
    model = surrogates.make(task, generator=torch.Generator().manual_seed(0))
    data = task.sample(contexts=150, candidates=16, seed=0)
    decision.learning.fit_active(model, task, data, rounds=1, near=3, epochs=80, progress=False)
    theta = task.sample_contexts(20, seed=1)
    answer = decision.decide(model, task.feasible_set, theta)
    judged = decision.evaluate(task, answer)
    middle = task.cost(torch.ones(20, 3, dtype=torch.float64), theta) - task.best_known(theta)[1]
    assert answer.certified.all()
    assert judged.regret.mean() < 0.5 * middle.mean()
    socicnn.save(model, tmp_path / "stock.safetensors")
    again = decision.decide(socicnn.load(tmp_path / "stock.safetensors").double(), task.feasible_set, theta)
    torch.testing.assert_close(again.value, answer.value, rtol=1e-5, atol=1e-5)
