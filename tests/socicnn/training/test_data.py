import pytest
import torch

from socicnn.training import Data


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
        (d.x[0], d.context, d.y, "equally many rows"),
        (d.x, d.context[:2], d.y, "equally many rows"),
        (d.x, d.context, d.y[:, :2], "leading shape of x"),
        (d.x / 0, d.context, d.y, "x of the data has 24 non-finite"),
    ):
        with pytest.raises(ValueError, match=reason):
            Data(x, context, y)


def test_the_old_name_keeps_its_order_and_warns() -> None:
    d = data()
    with pytest.warns(DeprecationWarning, match="Samples"):
        from socicnn.training import Samples
    old = Samples(d.x, d.y, d.context)
    assert torch.equal(old.context, d.context)
    assert torch.equal(old.y, d.y)


def test_there_is_one_class_of_data() -> None:
    import decision

    assert decision.Data is decision.tasks.Data is Data
