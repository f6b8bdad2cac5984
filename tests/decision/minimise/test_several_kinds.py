"""Networks that are frozen and searched as modules: several kinds of units in one layer, smooth branches."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from decision import Ball, Box, Simplex, decide
from decision.learning import Ensemble
from socicnn import ICNN
from socicnn.errors import NoProgramError
from socicnn.frozen import FrozenNet, Output
from tests.support.cases import generator
from tests.support.softplus import HighPrecision, exponential_net, softplus_net

flint = pytest.importorskip("flint")
NETS = {
    "one layer": softplus_net(0, ((0.0, 1.0),)),
    "quadratics inside, branches": softplus_net(1, ((0.0, 0.5), (1.0, 0.0, 0.25)), terms=True),
    "above ReLU": softplus_net(2, (0.0, (0.3, 0.0))),
    "smooth branches": exponential_net(3),
}


@pytest.mark.parametrize("name", NETS)
def test_gaps_are_proven(name: str) -> None:
    """f(x) - gap is below f in 1,000 bits at many points of the set, the decision's own among them."""
    net, rng = NETS[name], np.random.default_rng(0)
    for feasible_set in (Box(4, -1, 1), Simplex(4), Ball(4, 2.0).fixed()):
        answer = decide(net, feasible_set)
        assert answer.certified.all(), answer.notes
        if name != "above ReLU":  # at kinks of ReLU units the estimate may be the better end, and the notes say so
            assert not any("plain float64" in note for note in answer.notes)
        below, exact = flint.arb(float(answer.value[0] - answer.gap[0])), HighPrecision(net)
        points = feasible_set.project(torch.tensor(rng.normal(size=(20, 4)))).numpy()
        near = feasible_set.project(answer.x + 1e-3 * torch.tensor(rng.normal(size=(20, 4)))).numpy()
        for point in (*points, *near, answer.x[0].numpy()):
            assert below <= exact(point)


def test_an_ensemble_of_several_activations_is_one_network() -> None:
    made = [ICNN(3, (4, 3), activation=kind, generator=generator(0)) for kind in ("relu", "softplus")]
    ensemble = Ensemble(made)
    net = ensemble.freeze()
    assert [layer.smoothing.tolist() for layer in net.layers] == [[0.0] * 4 + [1.0] * 4, [0.0] * 3 + [1.0] * 3]
    x = np.random.default_rng(1).normal(size=(5, 3))
    np.testing.assert_allclose(net(x), (made[0].freeze()(x) + made[1].freeze()(x)) / 2, rtol=1e-12)
    assert decide(ensemble, Box(3, -1, 1)).certified.all()


def test_stacked_contexts_are_asked_for_one_by_one() -> None:
    net: FrozenNet = NETS["one layer"]
    stacked = replace(net, output=Output(net.output.w, np.stack([net.output.v] * 2), net.output.c))
    with pytest.raises(NoProgramError, match=r"in one layer are decided as modules, .* give one of the contexts"):
        decide(stacked, Box(4))
    assert decide(stacked[0], Box(4)).certified.all()
