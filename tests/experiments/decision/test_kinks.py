"""Which contexts carry the mean regret."""

import pytest
import torch

from decision import tasks
from experiments.decision import kinks
from experiments.decision.instances import Sizes
from socicnn.errors import ModelError


def test_distances_are_to_the_nearest_tip() -> None:
    task = tasks.make("budget_twocone_socp", features=5, seed=1)
    theta = task.sample_contexts(3, seed=1)
    x = task.feasible_set.sample(3, torch.Generator().manual_seed(0))
    found = kinks.distances(task, x, theta)
    for i in range(3):
        norms = [(block.A @ x[i] - block.offset(theta[i])).norm() for block in task.blocks]
        assert float(found[i]) == pytest.approx(float(min(norms)))
    with pytest.raises(ModelError, match="budget_huber has no cones"):
        kinks.distances(tasks.make("budget_huber", features=5, seed=1), x, theta)


def test_shares_are_of_the_summed_regret(capsys: pytest.CaptureFixture[str]) -> None:
    rows = kinks.table({"m": torch.tensor([3.0, 1.0, 0.5, 0.5])}, torch.tensor([0.0, 0.01, 0.1, 7.0]))
    assert [row["share"] for row in rows] == ["60 %", "20 %", "10 %", "10 %"]
    small = Sizes(contexts=20, candidates=4, tests=2, tuning=2, share=0.01)
    kinks.main(["--task", "simplex_socp", "--n", "3", "--contenders", "soc-partial:0"], small, contexts=4)
    assert "| soc-partial:0 |" in capsys.readouterr().out
