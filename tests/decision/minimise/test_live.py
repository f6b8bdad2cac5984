"""Units that f does not depend on are left out of searches and proofs, and change nothing."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import sparse

from decision import Decider, Simplex, decide, surrogates
from decision._minimise.live import LiveUnits
from decision._minimise.stack import Stack
from decision._minimise.stack_surrogate import StackSurrogate
from socicnn.frozen import FrozenNet, Layer, Output, Squares
from tests.support.cases import generator


def with_dead_units(inside: bool = False, stacked: bool = False) -> FrozenNet:
    """Return layers of 4, 4 and 3 units, of which 2, 2 and 1 are live; with terms inside the second it is whole."""
    rng = np.random.default_rng(0)
    draw = rng.normal
    V, W = np.zeros((4, 4)), np.zeros((3, 4))
    W[0, [0, 2]], W[1:] = (1.0, 0.5), 1.0
    V[[0, 2]] = np.array([[0.0, 1.0, 0.0, 0.0], [0.0, 0.3, 0.0, 2.0]])
    V[[1, 3], 0] = 1.0
    squares = Squares(np.ones(4), draw(size=(4, 3)), draw(size=4)) if inside else None
    layers = [
        Layer(None, draw(size=(4, 3)), draw(size=4), smoothing=np.array([0.0, 0.5, 0.0, 0.0])),
        Layer(V, sparse.csr_array(draw(size=(4, 3))), draw(size=(2, 4)) if stacked else draw(size=4), squares),
        Layer(sparse.csr_array(W), None, draw(size=3), smoothing=0.1),
    ]
    w = np.array([2.0, 0.0, 0.0])
    return FrozenNet(layers, Output(np.array([w, 3.0 * w]) if stacked else w, draw(size=3), 1.0))


@pytest.mark.parametrize(("inside", "sizes"), [(False, [2, 2, 1]), (True, [3, 4, 1])])
@pytest.mark.parametrize("stacked", [False, True])
def test_dead_units_are_left_out_of_stacks_and_arrays(inside: bool, sizes: list[int], stacked: bool) -> None:
    net = with_dead_units(inside, stacked)
    surrogate = StackSurrogate.of(net).live()
    assert [layer.b.shape[1] for layer in surrogate.stack.layers] == sizes
    assert [layer.width for layer in surrogate.net.layers] == sizes
    assert surrogate.live() is surrogate
    x = torch.randn(len(surrogate), 3, generator=generator(1), dtype=torch.float64)
    for value in (surrogate.value(x) + 1.0, torch.from_numpy(surrogate.net.values(x.numpy()))):
        np.testing.assert_allclose(value.numpy(), net.values(x.numpy()), rtol=1e-15)


def test_a_unit_counts_where_one_context_reads_it() -> None:
    net = with_dead_units(stacked=True)
    w = np.array([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    stack = Stack.of(FrozenNet(net.layers, Output(w, net.output.v, net.output.c)))
    live = LiveUnits.of(stack)
    assert live is not None
    assert [len(some) for some in live.places] == [3, 4, 2]


@pytest.mark.parametrize("method", ["auto", "exact", "projected_gradient"])
def test_decisions_are_proven_for_the_whole_network(method: str) -> None:
    net = with_dead_units()
    answer = decide(net, Simplex(3), method=method)
    assert answer.ok
    x = np.random.default_rng(1).dirichlet(np.full(3, 0.5), 2000)
    assert float(answer.value - answer.gap) <= net.values(x).min() <= float(answer.value) + 0.02
    np.testing.assert_allclose(answer.value.numpy(), net.values(answer.x.numpy()), rtol=1e-14)
    everything = FrozenNet(net.layers, Output(np.zeros(3), [1.0, 2.0, 3.0], 0.0))  # no unit is live
    assert abs(float(decide(everything, Simplex(3), method=method).value) - 1.0) < 1e-4


@pytest.mark.parametrize(("name", "widths"), [("relu-joint", (60,)), ("softplus-joint", (9, 60))])
def test_a_decider_leaves_them_out_too(name: str, widths: tuple[int, ...]) -> None:
    model = surrogates.make(name, 4, 2, hidden_features=widths, activation="softplus", generator=generator(0)).double()
    with torch.no_grad():
        model.vectors.positive["w"].theta[7:] = 0.0
    theta = torch.randn(5, 2, generator=generator(1), dtype=torch.float64)
    assert LiveUnits.of(Stack.of(model.freeze(theta))).places[-1].tolist() == list(range(7))  # type: ignore[union-attr]
    answer, expected = Decider(model, Simplex(4))(theta), decide(model, Simplex(4), theta)
    assert answer.ok
    assert expected.ok
    assert bool(((answer.value - expected.value).abs() <= answer.gap + expected.gap).all())
    assert bool((answer.value - model(answer.x, theta)).abs().max() < 1e-12)


def test_matrices_of_one_set_of_live_units_are_kept() -> None:
    net = with_dead_units()
    stack = Stack.of(net)
    known = [LiveUnits.of(replace(stack, w=torch.tensor([w]))) for w in ([1.0, 0.0, 0.0], [0.0, 1.0, 0.0]) * 2]
    assert [some.places[-1].tolist() for some in known if some is not None] == [[0], [1]] * 2
    assert LiveUnits.of(replace(stack, w=torch.tensor([[0.0, 9.0, 0.0]]))) is known[-1]
    assert len(stack.kept) == 1
