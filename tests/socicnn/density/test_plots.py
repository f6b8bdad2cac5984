"""Figures of densities are written and show p; what cannot be drawn is refused."""

from pathlib import Path

import pytest
import torch

from socicnn._figures import new_figure
from socicnn._files import FileError
from socicnn.density import Density, Energy, PotentialFlow, UnreliableEstimate, _plots, plot, quadrature
from socicnn.density._plots import _values
from socicnn.errors import ModelError


def energy(n: int) -> Energy:
    return Energy.dense(n, (4,), generator=torch.Generator().manual_seed(0), strong_convexity=1.0)


@pytest.mark.parametrize("n", [1, 2])
def test_figures_are_written(n: int, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="pip install 'socicnn[plot]'")
    rule = quadrature([-9.0] * n, [9.0] * n)
    models: list[tuple[Density, object]] = [(energy(n), rule), (PotentialFlow.dense(n, (4,)), None)]
    for model, given in models:
        for points in (None, torch.randn(100, n)):
            path = tmp_path / "law.png"
            path.unlink(missing_ok=True)
            plot(model, path, [-3.0] * n, [3.0] * n, rule=given, points=points)  # type: ignore[arg-type]  # a rule or None
            assert path.read_bytes().startswith(b"\x89PNG")


def test_bars_are_shares_of_all_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a box that holds a part of the points the bars had area one, and p seemed too low."""
    pytest.importorskip("matplotlib", reason="pip install 'socicnn[plot]'")
    figures = []
    monkeypatch.setattr(_plots, "new_figure", lambda *size: figures.append(new_figure(*size)) or figures[-1])
    points = torch.linspace(-2, 2, 4000, dtype=torch.float64)[:, None]
    plot(energy(1), tmp_path / "law.png", 0.0, 1.0, rule=quadrature(-9.0, 9.0), points=points)
    (panel,) = figures[0].axes
    assert sum(bar.get_height() * bar.get_width() for bar in panel.patches) == pytest.approx(0.25, abs=1e-3)


def test_a_doubtful_log_z_warns(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="pip install 'socicnn[plot]'")
    with pytest.warns(UnreliableEstimate, match="of the mass lies outside"):
        plot(energy(1), tmp_path / "law.png", -0.5, 0.5, rule=quadrature(-1.0, 1.0))


def test_values_integrate_to_one() -> None:
    x = torch.linspace(-9, 9, 4001, dtype=torch.float64)[:, None]
    p = _values(energy(1), x, quadrature([-9.0], [9.0])).detach()
    assert float(torch.trapezoid(p, x[:, 0])) == pytest.approx(1.0, abs=1e-4)


def test_what_cannot_be_drawn_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "law.png"
    with pytest.raises(ModelError, match="one or two dimensions; the density has 3"):
        plot(energy(3), path, [0.0] * 3, [1.0] * 3)
    for lower, upper in (([1.0], [0.0]), ([0.0, 0.0], [1.0, 1.0]), ([0.0], [float("inf")]), (1.0, 0.0)):
        with pytest.raises(ModelError, match="the box needs 1 finite lower < upper"):
            plot(energy(1), path, lower, upper)
    with pytest.raises(ModelError, match="is an integral"):
        plot(energy(1), path, [0.0], [1.0])
    assert not path.exists()


def test_numbers_are_the_ends_of_one_dimension(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="pip install 'socicnn[plot]'")
    plot(energy(1), tmp_path / "law.png", -4.0, 4.0, rule=quadrature(-9.0, 9.0))
    assert (tmp_path / "law.png").stat().st_size > 1000


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="pip install 'socicnn[plot]'")
    with pytest.raises(FileError, match="nowhere"):
        plot(energy(1), tmp_path / "nowhere" / "law.png", [0.0], [1.0], rule=quadrature([-9.0], [9.0]))
