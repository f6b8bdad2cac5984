"""Four tanks: the equilibrium is one, the adjoint is the derivative, learned controllers run in closed loop."""

from pathlib import Path

import numpy as np
import pytest

from experiments import control
from experiments.control import HIGHEST, LOWER, RESTING, TARGET, UPPER, N

RNG = np.random.default_rng(0)


def test_the_published_operating_point_is_an_equilibrium() -> None:
    """Levels 12.4, 12.7, 1.8, 1.4 cm at 3 V (Johansson 2000, rounded as printed there)."""
    h = np.array([[*TARGET, 1.8, 1.4]])
    assert np.abs(control.advanced(h, RESTING[None]) - h).max() < 0.15


def test_the_adjoint_is_the_derivative() -> None:
    h = RNG.uniform(LOWER, UPPER, size=(3, 4))
    u = RNG.uniform(0.0, HIGHEST, size=(3, N, 2))
    value, gradient = control.to_go(h, u)
    move = RNG.normal(size=u.shape)
    above, below = (control.to_go(h, u + sign * 1e-5 * move)[0] for sign in (1, -1))
    np.testing.assert_allclose((above - below) / 2e-5, (gradient * move).sum(axis=(1, 2)), rtol=1e-5)
    stepped, total = h, np.zeros(3)
    for t in range(N):
        stepped = control.advanced(stepped, u[:, t])
        total += control.stage(stepped, u[:, t])
    np.testing.assert_allclose(value, total)


def test_labels_are_the_least_costs() -> None:
    """The true controller's first voltages have the least label, and labels agree with its cost."""
    h = np.array([[8.0, 16.0, 2.0, 2.0]])
    controller = control.TrueController()
    first = controller(h[0])
    least = control.to_go(h, controller._plan[None])[0][0]
    assert control.labelled(h, first[None], 150)[0] == pytest.approx(least, rel=1e-2)
    others = RNG.uniform(0.0, HIGHEST, size=(20, 2))
    assert (control.labelled(np.repeat(h, 20, axis=0), others, 150) >= least * (1 - 1e-6)).all()


def test_the_tiny_preset_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib", reason="pip install 'socicnn[plot]'")
    control.main(["--preset", "tiny", "--out", str(tmp_path / "a.csv"), "--plot", str(tmp_path / "a.png")])
    assert (tmp_path / "a.csv").read_text().startswith("controller,version,cost,")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    printed = capsys.readouterr().out
    assert "| true |" in printed
    assert "| learned |" in printed


def test_every_step_is_certified() -> None:
    preset = control.PRESETS["tiny"]
    done = control.loops(preset)
    rows = {loop.name: loop.row for loop in done}
    assert rows["learned"]["certified"] == rows["learned"]["steps"] == preset.runs * preset.steps
    assert float(rows["true"]["cost"]) <= float(rows["constant"]["cost"])
    assert all(np.array_equal(loop.levels[:, 0], done[0].levels[:, 0]) for loop in done)
