"""Linear layers of torch over sequences, images and volumes are read from a module."""

import numpy as np
import pytest
import torch
from torch import nn

from socicnn.errors import ModelError
from socicnn.frozen import FrozenNet


@pytest.mark.parametrize("mode", ["circular", "reflect", "replicate", "zeros"])
def test_padded_convolutions_and_pooling_are_read(mode: str) -> None:
    torch.manual_seed(1)
    image = nn.Sequential(
        nn.Conv2d(1, 2, 3, padding=1, padding_mode=mode), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8, 1)
    ).eval()
    image[4].weight.data.abs_()
    net = FrozenNet.from_torch(image, torch.zeros(1, 1, 4, 4))
    x = torch.randn(5, 1, 4, 4, dtype=torch.float64)
    with torch.no_grad():
        np.testing.assert_allclose(net(x.numpy()), image.double()(x)[:, 0].numpy(), rtol=1e-10, atol=1e-12)


LINEAR = {
    "ConvTranspose1d": (nn.ConvTranspose1d(2, 3, 3, stride=2), (2, 5)),
    "ConvTranspose2d": (nn.ConvTranspose2d(1, 2, 2, padding=1), (1, 3, 3)),
    "AvgPool1d": (nn.AvgPool1d(2), (2, 6)),
    "AdaptiveAvgPool1d": (nn.AdaptiveAvgPool1d(2), (1, 5)),
    "AdaptiveAvgPool2d": (nn.AdaptiveAvgPool2d(2), (1, 5, 5)),
    "Conv3d": (nn.Conv3d(1, 2, 2), (1, 3, 3, 3)),
    "AvgPool3d": (nn.AvgPool3d(2), (1, 4, 4, 4)),
}


@pytest.mark.parametrize("name", LINEAR)
def test_other_linear_layers_of_torch_are_read(name: str) -> None:
    torch.manual_seed(0)
    layer, shape = LINEAR[name]
    width = layer(torch.zeros(1, *shape)).numel()
    module = nn.Sequential(layer, nn.Flatten(), nn.Linear(width, 4), nn.ReLU(), nn.Linear(4, 1)).eval()
    module[4].weight.data.abs_()
    net = FrozenNet.from_torch(module, torch.zeros(1, *shape))
    x = torch.randn(5, *shape, dtype=torch.float64)
    with torch.no_grad():
        np.testing.assert_allclose(net(x.flatten(1).numpy()), module.double()(x)[:, 0].numpy(), rtol=1e-9, atol=1e-11)


class Clamped(nn.Module):
    """The sum of clamp(a(x), min=b(x)), or of a PReLU whose slopes are b(x)."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.a, self.b, self.kind = nn.Linear(2, 3), nn.Linear(2, 3), kind

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a, b = self.a(x), self.b(x)
        if self.kind == "prelu":
            return nn.functional.prelu(a, b[0]).sum(dim=-1)
        low = {"value": b, "constant": self.b.bias, "turned": a}[self.kind]
        return torch.clamp(self.a.bias.expand_as(a) if self.kind == "turned" else a, min=low).sum(dim=-1)


@pytest.mark.parametrize("kind", ["value", "constant", "turned"])
def test_a_clamp_from_below_by_what_depends_on_x_is_a_maximum(kind: str) -> None:
    """It ended in a TypeError of NumPy."""
    torch.manual_seed(0)
    module = Clamped(kind)
    net = FrozenNet.from_torch(module, torch.zeros(1, 2))
    x = torch.randn(5, 2, dtype=torch.float64)
    with torch.no_grad():
        np.testing.assert_allclose(net(x.numpy()), module.double()(x).numpy(), rtol=1e-9, atol=1e-11)


def test_slopes_that_depend_on_x_are_refused() -> None:
    with pytest.raises(ModelError, match="has slopes that depend on x"):
        FrozenNet.from_torch(Clamped("prelu"), torch.zeros(1, 2))
