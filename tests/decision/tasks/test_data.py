import pytest
import torch

from decision.tasks import Data


def data(contexts: int = 4, candidates: int = 3) -> Data:
    return Data(torch.rand(contexts, candidates, 2), torch.rand(contexts, 5), torch.rand(contexts, candidates))


def test_an_index_picks_contexts() -> None:
    whole = data()
    part = whole[torch.tensor([3, 1])]
    assert (len(whole), whole.labels, len(part), part.labels) == (4, 12, 2, 6)
    assert torch.equal(part.y[1], whole.y[1])
    assert torch.equal(part.context[0], whole.context[3])
    assert whole[:2].to(torch.float64).x.dtype == torch.float64


def test_shapes_that_disagree_are_refused() -> None:
    d = data()
    for x, context, y, reason in (
        (d.x[0], d.context, d.y, "data need x"),
        (d.x, d.context[:2], d.y, "disagree"),
        (d.x, d.context, d.y[:, :2], "disagree"),
        (d.x / 0, d.context, d.y, "x of the data has 24 non-finite"),
    ):
        with pytest.raises(ValueError, match=reason):
            Data(x, context, y)
