"""Samplers of candidates: members of the set, the faces that they promise, the benchmark's stream as it was."""

import pytest
import torch

from decision import sets, tasks
from decision.sets._samplers import SAMPLERS, Boundary, Uniform, Vertices, make_sampler
from socicnn.errors import ModelError

SETS = {
    "simplex": sets.Simplex(6),
    "box": sets.Box(6, -1.0, [1.0, 2.0, 3.0, 1.0, 1.0, 1.0]),
    "budget": sets.Budget(6, 2.5),
    "at_most": sets.Budget(6, 2.5, equality=False),
}


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("kind", SETS)
def test_points_are_members_and_come_from_the_generator(kind: str, name: str) -> None:
    X, law = SETS[kind], make_sampler(name)
    x, again = (law.draw(X, 101, torch.Generator().manual_seed(3)) for _ in range(2))
    assert x.shape == (101, 6)
    assert x.dtype == torch.float64
    assert bool(X.contains(x).all())
    assert torch.equal(x, again)
    assert len(x.unique(dim=0)) > 60


@pytest.mark.parametrize("kind", ["simplex", "box", "budget"])
def test_vertices_reach_low_faces_with_their_share(kind: str) -> None:
    X = SETS[kind]
    x = Vertices(share=0.5, most=2).draw(X, 400, torch.Generator().manual_seed(0))
    lower, upper = (-1.0, X.project(torch.full((6,), 99.0, dtype=torch.float64))) if kind == "box" else (0.0, 1.0)
    on = (x <= lower + 1e-12) | (x >= upper - 1e-12)
    flat = on.sum(dim=1) >= 1
    assert 0.45 <= flat.double().mean() <= 0.55
    assert on[flat].double().mean() > 0.4


def test_tasks_draw_by_a_sampler_and_the_default_is_the_protocol() -> None:
    task = tasks.make("simplex_socp", features=6, seed=0)
    plain, uniform = task.sample(10, 8, seed=1), task.sample(10, 8, seed=1, sampler=Uniform())
    assert torch.equal(plain.x, uniform.x)
    faces = task.sample(10, 8, seed=1, sampler="vertices")
    assert torch.equal(faces.context, plain.context)
    assert (faces.x < 1e-12).sum() > (plain.x < 1e-12).sum() + 100
    torch.testing.assert_close(faces.y, task.cost(faces.x, faces.context))
    half = task.sample(10, 8, seed=1, boundary=0.25)
    assert torch.equal(half.x, task.sample(10, 8, seed=1, sampler=Boundary(0.25)).x)
    with pytest.raises(ModelError, match="boundary or sampler, not both"):
        task.sample(10, 8, seed=1, boundary=0.25, sampler="vertices")
    with pytest.raises(ModelError, match="unknown sampler 'corners'; there are: boundary, uniform, vertices"):
        task.sample(10, 8, seed=1, sampler="corners")


@pytest.mark.parametrize("arguments", [{"share": 1.5}, {"share": -0.1}, {"most": 0}])
def test_laws_that_cannot_be_are_refused(arguments: dict) -> None:
    with pytest.raises(ModelError, match="share must lie in"):
        Vertices(**arguments)
