"""Parts of a batch that are computed one after the other make the same step."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from socicnn.errors import ModelError
from socicnn.training import FitOptions
from tests.support.runs import QUIET, contexts, fit, network


@pytest.mark.parametrize("loss", ["mse", "within_context"])
@pytest.mark.parametrize("recipe", ["projected", "admm"])
def test_the_run_is_the_same_to_rounding(loss: str, recipe: str) -> None:
    ends, histories = [], []
    for micro_batch in (None, 3, 7, 50):
        model = network(positivity=recipe).double()
        settings: dict[str, Any] = {"loss": loss, "epochs": 3, "batch_size": 10, "optimiser": "sgd", "clip": 1.0}
        histories.append(
            fit(model, contexts(), validation=contexts(seed=1), micro_batch=micro_batch, **settings, **QUIET)
        )
        ends.append(torch.cat([parameter.detach().flatten() for parameter in model.parameters()]))
    start = torch.cat([parameter.detach().flatten() for parameter in network(positivity=recipe).double().parameters()])
    assert float((ends[0] - start).norm()) > 1e-3
    for end, history in zip(ends[1:], histories[1:], strict=True):
        torch.testing.assert_close(end, ends[0], rtol=1e-10, atol=1e-12)
        assert history.train == pytest.approx(histories[0].train, rel=1e-12)
        assert history.validation == pytest.approx(histories[0].validation, rel=1e-12)


def test_data_may_have_weights() -> None:
    data = contexts()
    data = replace(data, weight=torch.rand(data.y.shape, generator=torch.Generator().manual_seed(3)))
    ends = []
    for micro_batch in (None, 4):
        model = network().double()
        fit(model, data, loss="mse", epochs=2, batch_size=9, optimiser="sgd", micro_batch=micro_batch, **QUIET)
        ends.append(torch.cat([parameter.detach().flatten() for parameter in model.parameters()]))
    torch.testing.assert_close(ends[1], ends[0], rtol=1e-10, atol=1e-12)


def test_refusals() -> None:
    with pytest.raises(ModelError, match="micro_batch must be an integer >= 1; received 0"):
        FitOptions(micro_batch=0)
    with pytest.raises(ModelError, match="weights depend on the whole batch"):
        fit(network(positivity="lift"), contexts(), epochs=1, micro_batch=4, **QUIET)
