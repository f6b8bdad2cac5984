"""Names of before, minimize_linear and center, warn and give the same answers."""

import numpy as np
import pytest
import torch
from torch import Tensor

from decision import Ball, Box, Ellipsoid, Simplex, decide, problem, tasks
from decision.baselines import StructuredDCP
from decision.sets import FeasibleSet, OracleSet
from decision.sets._spec import set_of
from socicnn.frozen import FrozenNet, Output, Quadratic

COST = FrozenNet([], Output([], [1.0, -2.0]), [Quadratic(1.0, np.eye(2))])
ROWS = torch.tensor([[1.0, 2.0]], dtype=torch.float64)


class Disc:
    """The unit disc, with the name of before."""

    n = 2

    def project(self, x: Tensor) -> Tensor:
        return x / torch.linalg.vector_norm(x, dim=-1, keepdim=True).clamp(min=1.0)

    def minimize_linear(self, g: Tensor) -> Tensor:
        return -torch.nn.functional.normalize(g, dim=-1)


def test_a_set_of_ones_own_may_have_the_old_name() -> None:
    with pytest.warns(DeprecationWarning, match="minimize_linear of Disc is now minimise_linear"):
        found = decide(COST, Disc())
    assert found.certified.all()
    torch.testing.assert_close(found.value, decide(COST, Ball(2)).value, rtol=1e-6, atol=1e-6)
    with pytest.warns(DeprecationWarning, match="minimise_linear"):
        task = problem(lambda x, theta: x[:, 0], Disc(), sample_contexts=np.zeros((3, 1)))
    assert task.in_features == 2


def test_old_methods_of_sets() -> None:
    box = Box(2, 0.0, 3.0)
    with pytest.warns(DeprecationWarning, match="minimize_linear is now minimise_linear"):
        assert torch.equal(box.minimize_linear(ROWS), box.minimise_linear(ROWS))
    with pytest.warns(DeprecationWarning, match="center is now centre"):
        assert torch.equal(box.center(dtype=torch.float32), box.centre(dtype=torch.float32))


def test_a_subclass_may_override_the_old_names() -> None:
    with pytest.warns(DeprecationWarning, match=r"Old\.minimize_linear is now minimise_linear"):

        class Old(FeasibleSet):
            def minimize_linear(self, g: Tensor) -> Tensor:
                return -g

    assert torch.equal(Old.minimise_linear(None, ROWS), -ROWS)  # type: ignore[arg-type]
    assert "minimise_linear" not in Old.__abstractmethods__
    assert "centre" in Old.__abstractmethods__


def test_old_keywords() -> None:
    with pytest.warns(DeprecationWarning, match=r"Ball\(center=\.\.\.\) is now Ball\(centre=\.\.\.\)"):
        ball = Ball(2, 1.0, center=[1.0, 2.0])  # type: ignore[call-arg]
    torch.testing.assert_close(ball.fixed().project(ROWS + 9.0), Ball(2, 1.0, [1.0, 2.0]).fixed().project(ROWS + 9.0))
    with pytest.warns(DeprecationWarning, match="Ellipsoid"):
        assert Ellipsoid([1.0, 1.0], center=1.0).n == 2  # type: ignore[call-arg]
    with pytest.warns(DeprecationWarning, match=r"OracleSet\(minimize_linear="):
        disc = OracleSet(2, Disc().project, minimize_linear=Disc().minimize_linear)  # type: ignore[call-arg]
    assert disc.centre().shape == (2,)
    with pytest.raises(TypeError, match="both center and centre"):
        Ball(2, center=0.0, centre=0.0)  # type: ignore[call-arg]


def test_the_old_key_of_set_files() -> None:
    with pytest.warns(DeprecationWarning, match="key center of the set .ball. is now centre"):
        old = set_of({"set": "ball", "center": [1.0, 2.0]}, n=2)
    new = set_of({"set": "ball", "centre": [1.0, 2.0]}, n=2)
    assert torch.equal(old.fixed().project(ROWS), new.fixed().project(ROWS))  # type: ignore[union-attr]


def test_tasks_and_structured_models() -> None:
    task = tasks.make("simplex_socp", features=3, seed=0)
    with pytest.warns(DeprecationWarning, match=r"Task\.center is now Task\.centre"):
        assert task.center is task.centre
    model = StructuredDCP(3, 8, rows=3, generator=torch.Generator().manual_seed(0))
    theta = torch.zeros(1, 8, dtype=torch.float64)
    with pytest.warns(DeprecationWarning, match="minimize is now minimise"):
        old = model.minimize(Simplex(3), theta)
    torch.testing.assert_close(old, model.minimise(Simplex(3), theta))
