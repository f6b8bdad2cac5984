"""Smoothed modules: never above the module itself, and only where x has a part in it."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from decision._minimise.smoothing import Smoothing, softplus
from socicnn.errors import ModelError
from socicnn.frozen._softplus import unit


@pytest.mark.parametrize("delta", [1e-6, 0.1, 3.0])
def test_smoothing_never_exceeds_and_costs_at_most_delta(delta: float) -> None:
    a = torch.linspace(-5, 5, 2001, dtype=torch.float64).requires_grad_()
    u = a.reshape(-1, 3)
    exact = torch.relu(a), torch.linalg.vector_norm(u, dim=-1)
    with Smoothing(torch.tensor([delta], dtype=torch.float64)):
        smooth = [torch.relu(a), torch.linalg.vector_norm(u, dim=-1)]
        assert torch.equal(smooth[0], torch.nn.functional.relu(a))
        assert torch.equal(smooth[0], a.relu())
    for low, value, cost in zip(smooth, exact, (delta, delta), strict=True):
        assert (low <= value + 1e-15).all()
        assert (low >= value - cost - 1e-15).all()


@pytest.mark.parametrize(
    ("kinks", "cost"),
    [
        (torch.abs, 2.0),
        (lambda a: torch.maximum(a, 2.0 - a), 1.0),
        (lambda a: a.clamp(min=-1.0), 1.0),
        (lambda a: torch.nn.functional.leaky_relu(a, 0.2), 0.8),
        (lambda a: torch.norm(a.reshape(-1, 3), dim=1), 1.0),
        (lambda a: torch.linalg.vector_norm(a.reshape(-1, 3), 1, dim=1), 6.0),
    ],
)
def test_kinks_by_other_names_are_smoothed(kinks: Callable[[torch.Tensor], torch.Tensor], cost: float) -> None:
    a = torch.linspace(-5, 5, 2001, dtype=torch.float64).requires_grad_()
    exact = kinks(a)
    with Smoothing(torch.tensor([0.1], dtype=torch.float64)):
        smooth = kinks(a)
    assert (smooth <= exact + 1e-14).all()
    assert (smooth >= exact - 0.1 * cost - 1e-14).all()
    assert (exact - smooth).max() > 0.05


@pytest.mark.parametrize(
    ("kinks", "bound"),
    [
        (lambda a: a.clamp(min=0), 0.0),
        (lambda a: a.clamp(min=1e-12), 1e-12),
        (lambda a: torch.maximum(a, torch.full_like(a, 0.5).detach()), 0.5),
        (lambda a: torch.max(torch.full_like(a, 0.5).detach(), a), 0.5),
    ],
)
def test_maxima_stay_above_their_bound(kinks: Callable[[torch.Tensor], torch.Tensor], bound: float) -> None:
    """What follows may fall below it, and be no number: squares, logarithms."""
    a = torch.linspace(-5, 5, 2001, dtype=torch.float64).requires_grad_()
    with Smoothing(torch.tensor([0.1], dtype=torch.float64)):
        smooth = kinks(a)
    assert (smooth >= bound).all()
    assert (smooth.diff().diff() >= -1e-14).all()
    assert (smooth <= kinks(a)).all()


@pytest.mark.parametrize("bound", [-torch.inf, -1e20, -1e9])
def test_bounds_that_are_far_below_take_no_digits_of_x(bound: float) -> None:
    a = torch.linspace(-5, 5, 21, dtype=torch.float64).requires_grad_()
    with Smoothing(torch.tensor([0.1], dtype=torch.float64)):
        for smooth in (a.clamp(min=bound), torch.maximum(a, torch.full((21,), bound, dtype=torch.float64))):
            assert torch.allclose(smooth, a, rtol=0.0, atol=0.1 + 1e-12)
            assert (smooth <= a).all()


def test_what_does_not_depend_on_x_stays_as_it_is() -> None:
    theta = torch.linspace(-1, 1, 21, dtype=torch.float64)
    with Smoothing(torch.tensor([0.5])):
        assert torch.equal(torch.relu(theta), theta.clamp(min=0))
        assert torch.linalg.vector_norm(theta[:2]) == theta[:2].norm()


def test_other_norms_are_refused() -> None:
    with Smoothing(torch.tensor([0.1])), pytest.raises(ModelError, match=r"received further arguments \['ord'\]"):
        torch.linalg.vector_norm(torch.ones(3, requires_grad=True), ord=1)


def test_each_row_has_its_own_width_and_other_shapes_the_least() -> None:
    a = torch.zeros(2, 3, requires_grad=True)
    with Smoothing(torch.tensor([0.5, 2.0])):
        lengths = torch.linalg.vector_norm(a + 1.0, dim=-1)
        across = torch.linalg.vector_norm(a + 1.0, dim=0)
    torch.testing.assert_close(lengths, torch.tensor([3.25**0.5 - 0.5, 7.0**0.5 - 2.0]))
    torch.testing.assert_close(across, torch.full((3,), 1.5 - 0.5))


@pytest.mark.parametrize("width", [0.3, 1.0, 7e-4, 1e-305])
def test_softplus_is_exact_at_every_a(width: float) -> None:
    """As the one of frozen networks, where exp(t) is large, too: torch's own would drop the tail from t = 20 on."""
    t = torch.cat([torch.linspace(-60, 60, 241, dtype=torch.float64), torch.tensor([-700.0, 20.5, 39.9, 40.1, 700.0])])
    a = t * width
    for own in (softplus(a, width)[0], softplus(a, torch.tensor(width, dtype=torch.float64))[0]):
        exact = unit(a.numpy(), np.array(width))
        np.testing.assert_allclose(own.numpy(), exact, rtol=5e-13, atol=1e-320)
