"""The lift: its formula, what it reads of a batch, and what it refuses before it is finalised."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import Tensor

import socicnn
import verify
from socicnn.errors import ModelError
from socicnn.nn import ICNN, SOCICNN
from socicnn.positivity import Lift, Softplus, recipe
from socicnn.positivity import _encoder as encoder_module
from socicnn.positivity._encoder import Encoder
from socicnn.training import fit


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=generator(seed), dtype=torch.float64)


def network(seed: int = 0, **settings) -> ICNN:
    """A network whose heads are not zero, so that the batch matters."""
    model = ICNN(3, (7, 6), positivity=Lift(**settings), generator=generator(seed), dtype=torch.float64)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("head"):
                parameter.add_(0.3 * normal(*parameter.shape, seed=9))
    return model


def weights(model: ICNN) -> Tensor:
    return torch.cat([weight.final().reshape(-1) for _, weight in model.constrained()])


def by_hand(model: ICNN, points: np.ndarray, normalise: bool = True) -> np.ndarray:
    """The first hidden weight, from the formula in NumPy."""
    shared = model.shared
    z = points
    for weight, bias in zip(shared.weights, shared.biases, strict=True):
        z = np.maximum(z @ weight.detach().numpy().T + bias.detach().numpy(), 0.0)
    z = z.mean(axis=0)
    if normalise:
        z = (z - z.mean()) / (z.std() + 1e-5)
    if shared.P is not None:
        z = shared.P.detach().numpy() @ z + shared.p.detach().numpy()
    holder = model.W[0]
    raw = holder.b.detach().numpy() + (z @ holder.head.detach().numpy()).reshape(holder.b.shape)
    return np.logaddexp(0.0, raw)


@pytest.mark.parametrize("settings", [{}, {"rank": None}, {"normalise": False, "hidden": (5,)}])
def test_emits_what_the_formula_says(settings) -> None:
    model, x = network(**settings), normal(40, 3)
    model.condition(x)
    found = model.W[0]().detach().numpy()
    np.testing.assert_allclose(found, by_hand(model, x.numpy(), settings.get("normalise", True)), rtol=1e-9)


def test_reads_standardised_points_with_their_context() -> None:
    model = SOCICNN(2, (4, 4), context_features=3, positivity=Lift(), dtype=torch.float64, generator=generator())
    model.standardise(x_mean=1.0, x_scale=2.0, context_mean=-1.0, context_scale=0.5)
    assert model.shared.in_features == 5
    x, context = normal(6, 4, 2), normal(6, 1, 3, seed=2)
    model.condition(x, context)
    expected = torch.cat([(x - 1) / 2, ((context + 1) / 0.5).expand(6, 4, 3)], dim=-1).reshape(24, 5)
    torch.testing.assert_close(model.shared._points, expected)


def test_moments_are_read_as_they_are() -> None:
    encoder = Lift(summary="moments").shared(2)
    x = normal(30, 2)
    encoder.condition(x)
    torch.testing.assert_close(encoder(), torch.cat([x.mean(dim=0), x.square().mean(dim=0)]))
    assert not list(encoder.parameters())


def test_the_code_is_normalised_and_blind_to_the_order() -> None:
    encoder = Lift(hidden=(16, 48), rank=None).shared(3, generator()).double()
    x = normal(50, 3)
    encoder.condition(x)
    code = encoder()
    assert code.shape == (48,)
    assert abs(code.mean().item()) < 1e-12
    assert abs(code.std(correction=0).item() - 1) < 1e-3
    encoder.condition(x.flip(0))
    torch.testing.assert_close(encoder(), code)
    encoder.condition(x[:25])
    assert (encoder() - code).abs().max() > 1e-3


def test_what_a_batch_is_for_each_conditioning() -> None:
    def chosen(batch: Tensor, **settings) -> list[float]:
        encoder = Lift(**settings).shared(1)
        encoder.condition(batch)
        return encoder._points.flatten().tolist()

    points = torch.arange(10.0).reshape(10, 1)
    assert chosen(points) == list(range(10))
    assert chosen(points, conditioning="single") == [0.0]
    assert chosen(points, points=4) == [0.0, 2.0, 5.0, 7.0]
    assert chosen(points, points=99) == list(range(10))


def test_independent_points_are_those_of_earlier_batches() -> None:
    encoder = Lift(conditioning="independent", points=3).shared(1)
    seen = []
    for first in (0, 10, 20, 30):
        encoder.condition(torch.arange(first, first + 2.0).reshape(2, 1))
        seen.append(encoder._points.flatten().tolist())
    assert seen == [[0, 1], [0, 1], [10, 11, 0], [20, 21, 10]]
    encoder.condition(torch.arange(5.0).reshape(5, 1), whole=True)
    assert len(encoder._points) == 5


@pytest.mark.parametrize("settings", [{"conditioning": "single"}, {"points": 2}, {"conditioning": "independent"}])
def test_the_whole_training_set_counts_at_the_end(settings) -> None:
    model, x = network(**settings), normal(80, 3)
    model.condition(x[:10])
    torch.testing.assert_close(model.finalise(x).W[0](), torch.as_tensor(by_hand(model, x.numpy())))


def test_finalise_is_the_pinned_emission_to_rounding(monkeypatch) -> None:
    model, x = network(), normal(100, 3)
    model.condition(x)
    pinned = model(x).detach()
    torch.testing.assert_close(model.finalise(x)(x), pinned, rtol=1e-13, atol=1e-13)
    monkeypatch.setattr(encoder_module, "CHUNK", 7)
    torch.testing.assert_close(model.finalise(x)(x), pinned, rtol=1e-12, atol=1e-12)
    assert not torch.equal(model.finalise(x[:20])(x), pinned)
    # in training some points of a batch may stand for it; in the end all of the training set counts
    few = network(points=25)
    few.condition(x)
    assert few.shared._points.shape == (25, 3)
    torch.testing.assert_close(few.finalise(x)(x), pinned, rtol=1e-12, atol=1e-12)


def test_a_constant_code_needs_no_data_and_ignores_it() -> None:
    model, x = network(conditioning="constant"), normal(10, 3)
    assert not model.needs_data
    before = model.finalise()(x)
    model.condition(5 * x)
    assert torch.equal(model.finalise(x)(x), before)
    torch.testing.assert_close(model.eval()(x), before)
    verify.equivalence(model, x[:2], solvers=()).raise_if_failed()


def test_starts_at_the_initialisers_own_draw_whatever_the_batch() -> None:
    def start(positivity) -> Tensor:
        model = ICNN(3, (7, 6), positivity=positivity, generator=generator(4), dtype=torch.float64)
        model.condition(normal(5, 3))
        return weights(model)

    drawn = ICNN(3, (7, 6), positivity=Lift(), generator=generator(4), dtype=torch.float64)
    for scale in (0.1, 10.0):
        drawn.condition(scale * normal(5, 3))
        torch.testing.assert_close(weights(drawn), start(Lift(slack=False)), rtol=1e-9, atol=1e-12)
    # the encoder is drawn first: after the same draws the plain recipe starts at the same weights
    draw = generator(4)
    Lift().shared(3, draw)
    plain = ICNN(3, (7, 6), positivity=Softplus(), generator=draw, dtype=torch.float64)
    torch.testing.assert_close(weights(drawn), weights(plain), rtol=1e-9, atol=1e-12)


def test_the_code_is_computed_once_a_pass(monkeypatch) -> None:
    calls = []
    forward = Encoder.forward
    monkeypatch.setattr(Encoder, "forward", lambda self: (calls.append(1), forward(self))[1])
    model, x = network(), normal(10, 3)
    model.condition(x)
    model(x)
    assert len(calls) == 1
    model(x)
    assert len(calls) == 2
    model.condition(x)
    model(x)
    assert len(calls) == 3


def test_every_pass_has_a_graph_of_its_own() -> None:
    model, x = network(), normal(10, 3)
    model.condition(x)
    model(x).sum().backward()
    first = model.W[0].b.grad.clone()
    model(x).sum().backward()  # without another `condition`
    torch.testing.assert_close(model.W[0].b.grad, 2 * first)


def test_a_changed_parameter_changes_the_next_reading() -> None:
    model, x = network(), normal(10, 3)
    model.condition(x)
    with torch.no_grad():
        model.W[0]()
        model.shared.P.mul_(-1)
        stale_free = model.vectors.positive["w"]()  # its first reading, after the change
        model.condition(x)
        torch.testing.assert_close(model.vectors.positive["w"](), stale_free, rtol=0, atol=0)


def test_reading_without_gradients_leaves_gradients_alone() -> None:
    model, x = network(), normal(10, 3)
    model.condition(x)
    with torch.no_grad():
        model.W[0]()
    model(x).sum().backward()
    assert model.shared.P.grad.abs().sum() > 0


def test_gradient_reaches_the_encoder_but_not_the_batch() -> None:
    model, x = network(), normal(10, 3).requires_grad_()
    model.condition(x)
    model.W[0]().sum().backward()
    assert x.grad is None
    assert all(parameter.grad.abs().sum() > 0 for parameter in model.shared.parameters())


@pytest.mark.parametrize("other", [None, lambda m: m.eval()])
def test_before_it_is_finalised_nothing_can_be_had_from_it(other) -> None:
    model, x = network(), normal(10, 3)
    if other is not None:
        other(model)
    for call in (
        lambda: model.freeze(),
        lambda: verify.equivalence(model, x[:1]),
        lambda: verify.certify(model, x[:1]),
        lambda: socicnn.value_program(model),
        lambda: model.finalise(),
        lambda: model(x),
    ):
        with pytest.raises(ModelError, match="finalise"):
            call()


def test_evaluation_mode_is_refused_even_with_a_batch() -> None:
    model, x = network(), normal(10, 3)
    model.condition(x)
    model(x)
    with pytest.raises(ModelError, match="not finalised cannot be evaluated"):
        model.eval()(x)
    model.train()(x)


def test_a_copy_is_conditioned_anew() -> None:
    model, x = network(), normal(10, 3)
    model.condition(x)
    model(x)
    twin = copy.deepcopy(model)
    assert twin.W[0].encoder is twin.shared is not model.shared
    with pytest.raises(ModelError, match="was given none"):
        twin(x)


def test_the_encoder_is_listed_once() -> None:
    names = [name for name in network().state_dict() if "encoder" in name or name.startswith("shared")]
    assert names
    assert all(name.startswith("shared.") for name in names)


def test_fit_trains_it() -> None:
    x = normal(200, 3)
    y = x.square().sum(dim=1)
    model = ICNN(3, (16, 16), positivity=Lift(), generator=generator(), dtype=torch.float64)
    before = (model.finalise(x)(x) - y).square().mean()
    history = fit(model, (x, y), epochs=20, batch_size=32, learning_rate=1e-2, progress=False)
    final = model.finalise(x)
    assert (final(x) - y).square().mean() < 0.2 * before
    assert len(history.validation) == 20
    verify.equivalence(final, x[:3], solvers=()).raise_if_failed()


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (torch.zeros(4, 2), r"must have shape \(count, 3\); received \(4, 2\)"),
        (torch.zeros(3), r"must have shape \(count, 3\); received \(3,\)"),
        (torch.zeros(0, 3), "the conditioning batch is empty"),
    ],
)
def test_batches_that_do_not_fit(points: Tensor, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        Lift().shared(3).condition(points)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hidden": ()}, "hidden must list widths >= 1"),
        ({"hidden": (3, 0)}, "hidden must list widths >= 1"),
        ({"conditioning": "hope"}, "unknown conditioning 'hope'; there are: batch, constant, independent, single"),
        ({"summary": "hope"}, "unknown summary 'hope'; there are: deepsets, moments"),
        ({"points": 0}, "points must be an integer >= 1"),
        ({"rank": 2.5}, "rank must be an integer >= 1"),
        ({"readout": "projected"}, "the lift reads out with softplus, relu, exp or square; received 'projected'"),
        ({"slack": False, "rank": None}, "a lift without slack"),
        ({"conditioning": "constant", "summary": "moments"}, "the moments of a constant"),
    ],
)
def test_settings_that_cannot_be(settings, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        Lift(**settings)


def test_a_lifted_weight_needs_the_encoder() -> None:
    with pytest.raises(ModelError, match="share an encoder"):
        recipe("lift").weight(torch.ones(2))
