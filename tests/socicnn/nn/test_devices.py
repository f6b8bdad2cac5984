"""Devices that do not exist are refused in a sentence."""

import pytest
import torch

import decision
from decision._options import DecideOptions
from decision.sets import Simplex
from socicnn import SOCICNN
from socicnn.errors import ModelError
from socicnn.nn._checks import as_device


def test_a_gpu_that_torch_does_not_see_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    net = SOCICNN(3, (4,), dtype=torch.float64).freeze()
    calls = (
        lambda: SOCICNN(3, device="cuda"),
        lambda: decision.decide(net, Simplex(3), options=DecideOptions(device="cuda:1")),
    )
    for call in calls:
        with pytest.raises(ModelError, match=r"asks for a GPU, and torch sees 0; leave device out"):
            call()


def test_what_is_not_a_device_is_refused() -> None:
    for wrong in ("gpu", 3.5, ["cpu"]):
        with pytest.raises(ModelError, match="device must be a torch device such as"):
            as_device(wrong)  # type: ignore[arg-type]
    assert as_device("cpu") == torch.device("cpu")
