"""The three counts that must be 0, in their tiny preset, and that they can be another number."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks import counting, soundness, soundness_proofs
from socicnn.frozen import FrozenNet, Layer, Norm, Output, Quadratic, Squares
from tests.support.frozen_nets import random_net
from verify._proof.network import Bracket, Prover


def test_nothing_false_is_accepted(capsys: pytest.CaptureFixture[str]) -> None:
    assert soundness.main(["--preset", "tiny"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "mutants accepted",
        "bounds above a known minimum",
        "modules",
        "provers against exact rationals",
    ]
    assert all(": 0 of " in line for line in lines)


def test_counts_go_on_where_they_were_stopped(tmp_path: Path) -> None:
    seeds = []

    def step(size: int, seed: int) -> tuple[int, int, list[str]]:
        seeds.append(seed)
        return int(seed == 1), size, ["found"] if seed == 1 else []

    assert counting.counted(step, 10, 5, "some", tmp_path) == (1, 10, ["found"])
    assert counting.counted(step, 20, 5, "some", tmp_path) == (1, 20, ["found"])
    assert seeds == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="in steps of 5, not 7"):
        counting.counted(step, 20, 7, "some", tmp_path)


def test_exact_values_are_those_of_the_network() -> None:
    nets = [random_net(seed) for seed in range(3)]
    rng = np.random.default_rng(0)
    inside = Squares(rng.uniform(size=2), rng.normal(size=(4, 3)), rng.normal(size=4))
    nets.append(
        FrozenNet(
            [Layer(None, rng.normal(size=(2, 3)), rng.normal(size=2), inside), Layer(np.ones((1, 2)), None, [-1.0])],
            Output([2.0], [0.1, 0.2, 0.3], 1.0),
            [Quadratic(0.5, np.eye(3))],
            [Norm(1.0, rng.normal(size=(4, 3)), None, group=2)],
        )
    )
    for net in nets:
        exact = soundness_proofs.Exact(net)
        for point in rng.normal(size=(5, net.in_features)):
            low, high = exact(point)
            assert low <= high
            assert net(point)[0] == pytest.approx(int(low.p) / int(low.q), rel=1e-13)


@pytest.mark.parametrize("end", ["lo", "hi"])
def test_a_prover_that_is_wrong_by_an_ulp_is_found(end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Prover.__call__

    def narrow(self: Prover, x: np.ndarray) -> Bracket:
        found = honest(self, x)
        middle = (found.lo + found.hi) / 2
        lo, hi = (np.nextafter(middle, np.inf), found.hi) if end == "lo" else (found.lo, np.nextafter(middle, -np.inf))
        proven = np.isfinite(middle)
        return Bracket(np.where(proven, lo, -np.inf), np.where(proven, hi, np.inf), found.scale)

    monkeypatch.setattr(Prover, "__call__", narrow)
    assert soundness_proofs.brackets_against_rationals(400).violations > 0
