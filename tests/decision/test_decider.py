"""A Decider answers as `decide` does, with what does not depend on the context computed once."""

from typing import Any

import numpy as np
import pytest
import torch

from decision import Box, DecideOptions, Decider, Simplex, decide, surrogates
from decision._minimise.moving import MovingVectors
from decision._minimise.stack import Stack
from decision._minimise.stack_surrogate import StackSurrogate
from socicnn.errors import ModelError
from socicnn.nn import SOCICNN, RecurrentSOCICNN
from tests.support.cases import generator
from tests.support.stacks import random_stack


def model(name: str) -> torch.nn.Module:
    """Return a network with standardisation, so that every vector moves with the mean of x."""
    made = surrogates.make(name, 6, 3, generator=generator(0), dtype=torch.float64)
    made.standardise(x_mean=np.linspace(-1, 1, 6), x_scale=np.linspace(0.5, 2, 6), y_mean=7.0, y_scale=3.0)
    made.standardise(context_mean=[1.0, 0.0, -1.0], context_scale=[2.0, 1.0, 0.5])
    return made


def contexts(count: int) -> torch.Tensor:
    return torch.randn(count, 3, generator=generator(1), dtype=torch.float64)


def numbers(stack: Stack) -> list[torch.Tensor]:
    terms = (*stack.quadratics, *stack.norms)
    return [stack.w, stack.v, *(layer.b for layer in stack.layers), *(x for t in terms for x in (t.weight, t.offset))]


@pytest.mark.parametrize("count", [1, 5])
@pytest.mark.parametrize("name", ["soc-partial", "relu-partial", "quad-partial", "norm-partial", "soc-joint"])
def test_moving_vectors_are_those_of_the_frozen_networks(name: str, count: int) -> None:
    net, theta = model(name), contexts(count)
    moving = MovingVectors.of(net, theta)
    assert moving is not None
    surrogate = moving.at(theta)
    stack, constant = surrogate.stack, surrogate.constant
    frozen = StackSurrogate.of(net.freeze(theta))
    for mine, theirs in zip(numbers(stack), numbers(frozen.stack), strict=True):
        assert torch.equal(mine, theirs)
    torch.testing.assert_close(constant, frozen.constant, rtol=1e-15, atol=1e-14)
    x = torch.randn(count, 6, generator=generator(2), dtype=torch.float64)
    torch.testing.assert_close(stack.value(x), frozen.stack.value(x), rtol=1e-14, atol=1e-13)


@pytest.mark.parametrize("method", ["auto", "interior_point", "exact"])
@pytest.mark.parametrize("name", ["soc-partial", "soc-joint"])
def test_decisions_are_those_of_decide(name: str, method: str) -> None:
    net, theta = model(name), contexts(4)
    region = Box(6, -1.0, 2.0)
    decider = Decider(net, region, method)
    assert decider(theta).ok
    found, expected = decider(theta), decide(net, region, theta, method)
    assert torch.equal(found.x, expected.x)
    assert torch.allclose(found.value, expected.value, rtol=1e-14)
    assert found.ok
    assert found.method == expected.method
    single = decider(theta[1])
    assert abs(float(single.value[0] - expected.value[1])) <= float(single.gap[0] + expected.gap[1])
    assert "Decider" in repr(decider)


def test_later_changes_of_the_weights_do_not_matter() -> None:
    net, theta = model("soc-partial"), contexts(2)
    decider = Decider(net, Simplex(6))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
    again = decider(theta)
    assert torch.equal(again.x, decide(model("soc-partial"), Simplex(6), theta).x)


def test_models_of_other_kinds_and_no_contexts() -> None:
    net = random_stack(0, widths=(6,))
    decider = Decider(net, Simplex(5))
    assert torch.equal(decider().x, decider().x)
    assert decider().ok
    plain = SOCICNN(4, (5,), norm=(3,), generator=generator(0))
    assert Decider(plain, Simplex(4))().ok
    recurrent = RecurrentSOCICNN((3, 2), 4, context_features=2, generator=generator(0))
    two = torch.randn(2, 2, generator=generator(1))
    found = Decider(recurrent, Box(6, -1.0, 1.0))(two)
    assert found.ok
    assert torch.equal(found.x, decide(recurrent, Box(6, -1.0, 1.0), two).x)


def test_no_contexts_at_first_are_no_obstacle() -> None:
    decider = Decider(model("soc-partial"), Simplex(6))
    assert len(decider(contexts(0))) == 0
    assert decider(contexts(3)).ok


def test_bad_settings_and_contexts_are_refused() -> None:
    net = model("soc-partial")
    with pytest.raises(ModelError, match="rtol"):
        Decider(net, Simplex(6), rtol=-1.0)
    with pytest.raises(ModelError, match="region"):
        Decider(net, Simplex(6), region="somewhere")  # type: ignore[arg-type]
    decider = Decider(net, Simplex(6), options=DecideOptions(max_iterations=3))
    with pytest.raises(ModelError):
        decider(torch.ones(2, 4))
    assert decider(contexts(2)).iterations.max() <= 3
    with pytest.raises(ModelError, match="finite"):
        Decider(net, Simplex(6))(torch.full((1, 3), torch.nan))


@pytest.mark.extra
@pytest.mark.parametrize("count", [1, 3])
def test_contexts_that_move_slowly_start_from_the_last_answers(count: int) -> None:
    pytest.importorskip("numba")
    net, region, (first, other) = model("soc-partial"), Simplex(6), contexts(2)
    path = [first + 0.01 * k * (other - first) + torch.linspace(0.0, 0.5, count)[:, None] for k in range(6)]
    cold, warm = Decider(net, region), Decider(net, region, warm_start=True)
    found = [(cold(theta), warm(theta)) for theta in path]
    assert torch.equal(found[0][0].x, found[0][1].x)
    saved = 0
    for alone, after in found[1:]:
        assert after.ok
        assert bool(((alone.value - after.value).abs() <= alone.gap + after.gap).all())
        saved += int((alone.iterations - after.iterations).sum())
    assert saved >= 5 * count  # one in each call at least
    jump = warm(other + 3.0)
    assert jump.ok
    assert int(jump.iterations.max()) <= 30
    assert warm(contexts(5)).ok  # another number of contexts


def test_a_warm_start_is_no_obstacle_where_nothing_starts_from_points() -> None:
    net = model("soc-partial")
    for method, options in (("exact", DecideOptions()), ("auto", DecideOptions(integer=(0,)))):
        decider = Decider(net, Box(6, -1.0, 2.0), method, options=options, warm_start=True)
        for theta in contexts(2):
            assert decider(theta).ok


@pytest.mark.parametrize("settings", [{"monotone": [1, 0, -1]}, {"nonnegative": True}])
def test_networks_with_signs_are_decided_again_and_again(settings: dict[str, Any]) -> None:
    """Their linear term is not what a context emits; a Decider ended in an error of NumPy."""
    net = SOCICNN(3, (4,), (), (), context_features=2, generator=generator(0), dtype=torch.float64, **settings)
    theta = torch.randn(3, 2, generator=generator(1), dtype=torch.float64)
    decider, region = Decider(net, Box(3, -1.0, 2.0)), Box(3, -1.0, 2.0)
    assert decider(theta[:1]).ok
    assert torch.equal(decider(theta).x, decide(net, region, theta).x)
