import pytest
import torch

from decision.sets import Box, FeasibleSet
from tests.contracts.sets import SetContract
from tests.support.sets import boxes


class TestBox(SetContract):
    def cases(self) -> list[FeasibleSet]:
        return [*boxes()]


def test_uniform_moments() -> None:
    x = Box(2, lower=[-1.0, 0.0], upper=[1.0, 10.0]).sample(100_000, torch.Generator().manual_seed(0))
    assert torch.allclose(x.mean(dim=0), torch.tensor([0.0, 5.0], dtype=x.dtype), atol=0.05)
    assert torch.allclose(x.var(dim=0), torch.tensor([4 / 12, 100 / 12], dtype=x.dtype), rtol=0.02)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"lower": 2.0}, "empty"),
        ({"lower": [0.0, 1.5], "upper": 1.0}, "coordinate 1"),
        ({"upper": float("inf")}, "unbounded"),
        ({"lower": float("nan")}, "must be finite"),
        ({"lower": [0.0, 0.0, 0.0]}, "have shape"),
    ],
)
def test_impossible_boxes_are_refused(options: dict[str, object], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Box(2, **options)
