"""Planes, their directions and projections, the loss on a grid, and the figures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.func import functional_call

from socicnn.errors import ModelError
from socicnn.nn import ICNN
from socicnn.positivity import Lift
from socicnn.positivity.diagnostics import Plane, ShoulderStatistics, simulate_escape, snapshot
from socicnn.positivity.diagnostics._landscape import filter_normalised
from socicnn.positivity.diagnostics.plots import draw_escape, draw_shoulder, draw_slice

SHAPES = {"W": (4, 3), "b": (4,), "K": (2, 3, 2, 2), "c": ()}


def tensors(seed: int, scale: float = 1.0) -> dict[str, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return {n: scale * torch.randn(s, generator=draw, dtype=torch.float64) for n, s in SHAPES.items()}


def flat(point) -> np.ndarray:
    return torch.cat([tensor.reshape(-1) for tensor in point.values()]).numpy()


def plus(a, b, factor: float = 1.0) -> dict[str, torch.Tensor]:
    return {name: a[name] + factor * b[name] for name in a}


def test_filters_take_the_norms_of_the_centre() -> None:
    found, centre = filter_normalised(tensors(1), tensors(2)), tensors(2)
    for name in ("W", "K"):
        np.testing.assert_allclose(found[name].flatten(1).norm(dim=1), centre[name].flatten(1).norm(dim=1), rtol=1e-12)
    assert found["b"].norm().item() == pytest.approx(centre["b"].norm().item())
    direction = tensors(1)["W"]
    np.testing.assert_allclose(
        found["W"] / found["W"].norm(dim=1, keepdim=True), direction / direction.norm(dim=1, keepdim=True)
    )
    still = filter_normalised({**tensors(1), "b": torch.zeros(4)}, tensors(2))
    assert (still["b"] == 0).all()


def test_constrained_axes_are_the_difference_and_what_is_orthogonal_to_it() -> None:
    centre, end, other = tensors(1), tensors(2), tensors(3)
    trajectory = [plus(plus(centre, end, 0.1 * t), other, 0.3 * t * (5 - t)) for t in range(6)]
    plane = Plane.between(centre, plus(centre, end), trajectory)
    np.testing.assert_allclose(flat(plane.first), flat(filter_normalised(end, centre)), rtol=1e-9)
    orthogonal = flat(other) - flat(end) * (flat(other) @ flat(end)) / (flat(end) @ flat(end))
    expected = filter_normalised(dict(zip(SHAPES, _split(orthogonal), strict=True)), centre)
    sign = np.sign(flat(plane.second) @ flat(expected))
    np.testing.assert_allclose(sign * flat(plane.second), flat(expected), rtol=1e-8)


def test_random_directions_have_the_norms_of_the_filters() -> None:
    centre = tensors(2)
    first, again, other = (Plane.random(centre, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    for direction in (first.first, first.second):
        for name in ("W", "K"):
            np.testing.assert_allclose(direction[name].flatten(1).norm(dim=1), centre[name].flatten(1).norm(dim=1))
    assert (flat(first.second) == flat(again.second)).all()
    cosines = [flat(a) @ flat(b) / (np.linalg.norm(flat(a)) * np.linalg.norm(flat(b)))
               for a, b in ((first.first, first.second), (first.first, other.first))]  # fmt: skip
    assert max(map(abs, cosines)) < 0.6
    np.testing.assert_allclose(flat(first.at(0.0, 0.0)), flat(centre))


def _split(vector: np.ndarray) -> list[torch.Tensor]:
    parts = torch.from_numpy(vector).split([int(np.prod(shape)) for shape in SHAPES.values()])
    return [part.reshape(shape) for part, shape in zip(parts, SHAPES.values(), strict=True)]


def test_lifted_axes_are_the_leading_principal_components() -> None:
    centre = tensors(1)
    draw = np.random.default_rng(0)
    big, small, noise = tensors(2), tensors(3, 0.3), tensors(4, 1e-3)
    coefficients = draw.standard_normal((30, 3))
    path = [plus(plus(plus(centre, big, a), small, b), noise, c) for a, b, c in coefficients]
    plane = Plane.principal(centre, path)
    rows = np.stack([flat(point) - flat(centre) for point in path])
    _, _, vectors = np.linalg.svd(rows, full_matrices=False)
    for axis, vector in zip((plane.first, plane.second), vectors, strict=False):
        expected = flat(filter_normalised(dict(zip(SHAPES, _split(vector), strict=True)), centre))
        sign = np.sign(flat(axis) @ expected)
        np.testing.assert_allclose(sign * flat(axis), expected, rtol=1e-6, atol=1e-9)


def test_projection_finds_the_coordinates_of_points_of_the_plane() -> None:
    plane = Plane.between(tensors(1), tensors(2), [tensors(3), tensors(4)])
    coordinates = [(0.0, 0.0), (1.5, -0.5), (-2.0, 3.0)]
    np.testing.assert_allclose(plane.project([plane.at(*pair) for pair in coordinates]), coordinates, atol=1e-10)


def test_loss_on_the_grid() -> None:
    plane = Plane.between(tensors(1), tensors(2), [tensors(3), tensors(4)])

    def loss(point) -> float:
        alpha, beta = plane.project([point])[0]
        return float("inf") if alpha > 0.9 else alpha**2 + 2 * beta

    found = plane.slice(loss, np.array([0.0, 0.5, 1.0]), np.array([-1.0, 1.0]))
    np.testing.assert_allclose(found.loss[:2], [[-2, 2], [-1.75, 2.25]], atol=1e-9)
    assert np.isnan(found.loss[2]).all()


def test_a_networks_own_landscape_both_ways(tmp_path: Path) -> None:
    """Constrained coordinates from finalised networks, lifted ones from the lift itself; the centre has the loss."""
    x = torch.randn(64, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    y = x.square().sum(dim=1)

    def run(positivity):
        model = ICNN(2, (6, 6), positivity=positivity, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        optimiser = torch.optim.Adam(model.parameters(), lr=2e-2)
        lifted, plain = [], []
        for step in range(30):
            model.condition(x)
            loss = (model(x) - y).square().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            if step % 5 == 4:
                lifted.append(snapshot(model))
                plain.append(snapshot(model.finalise(x)))
        return model, lifted, plain

    model, lifted, plain = run(Lift(hidden=(6,)))
    _, _, direct = run("softplus")
    final = model.finalise(x)
    plane = Plane.between(plain[-1], direct[-1], plain + direct)
    end = plane.project([direct[-1]])[0]
    assert np.isfinite(end).all()

    def constrained(point) -> float:
        return (functional_call(final, point, (x,)) - y).square().mean().item()

    grid = np.linspace(-1, 1, 5)
    found = plane.slice(constrained, grid, grid)
    assert found.loss[2, 2] == pytest.approx((final(x) - y).square().mean().item())

    def emitted(point) -> float:
        probe = run_copy(model)
        probe.load_state_dict({**probe.state_dict(), **point})
        return (probe.finalise(x)(x) - y).square().mean().item()

    own = Plane.principal(lifted[-1], lifted).slice(emitted, grid, grid)
    assert own.loss[2, 2] == pytest.approx(found.loss[2, 2])
    pytest.importorskip("matplotlib", reason="pip install 'socicnn[plot]'")
    draw_slice(found, tmp_path / "slice.png", {"lift": plane.project(plain), "direct": plane.project(direct)})
    assert (tmp_path / "slice.png").stat().st_size > 10_000


def run_copy(model: ICNN) -> ICNN:
    return ICNN.from_config(model.config()).double()


def test_figures_are_written(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="pip install 'socicnn[plot]'")
    statistics = ShoulderStatistics()
    for step in range(5):
        statistics.record(step, torch.linspace(-6, 3, 20) + step)
    draw_shoulder({"lift": statistics}, tmp_path / "shoulder.png")
    draw_escape(simulate_escape([0.05, 0.3], np.random.default_rng(0), steps=100), tmp_path / "escape.png")
    plane = Plane.between(tensors(1), tensors(2), [tensors(3), tensors(4)])
    grid = np.linspace(-1, 1, 4)
    draw_slice(plane.slice(lambda _: 1.0, grid, grid), tmp_path / "flat.png")
    assert {path.name for path in tmp_path.iterdir()} == {"shoulder.png", "escape.png", "flat.png"}


def test_refusals() -> None:
    centre = tensors(1)
    with pytest.raises(ModelError, match="the two ends agree"):
        Plane.between(centre, centre, [tensors(2)])
    for trajectory in ([], [centre], [tensors(2)]):
        with pytest.raises(ModelError, match="span fewer than 2 directions"):
            Plane.principal(centre, trajectory)
    with pytest.raises(ModelError, match="span fewer than 1 directions"):
        Plane.between(centre, tensors(2), [plus(centre, plus(tensors(2), centre, -1.0), 0.5)])
    with pytest.raises(ModelError, match="names and shapes of the centre"):
        Plane.between(centre, {"W": centre["W"]}, [centre])
