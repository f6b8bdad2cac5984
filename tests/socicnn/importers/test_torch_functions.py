"""Functions that torch modules are written with are read: the network has the module's values at every point."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from socicnn.errors import ModelError
from socicnn.frozen import FrozenNet

F = nn.functional
Function = Callable[[Tensor], Tensor]
C = torch.tensor([0.5, -1.0, 2.0, 0.0, 1.5, -0.3], dtype=torch.float64)
MASK = torch.tensor([True, False, True, True, False, False])
PICKS = torch.tensor([0, 2, 2])

# all of a line are one module's function of a vector h of six entries, affine in x
READ: dict[str, list[Function]] = {
    "parts": [
        lambda h: sum((torch.relu(part).sum() for part in h.chunk(3)), torch.zeros(())),
        lambda h: torch.split(h, 4)[1].abs().sum() + h.split([1, 5])[1].square().sum(),
        lambda h: torch.logsumexp(torch.stack(h.unbind()), dim=0),
        lambda h: sum((torch.relu(part).max() for part in torch.tensor_split(h, 4)), torch.zeros(())),
        lambda h: torch.vsplit(h.reshape(2, 3), 2)[1].abs().sum() + torch.hsplit(h, 2)[0].abs().sum(),
        lambda h: torch.stack([torch.relu(h[0]), h[1].square()]).sum() + torch.hstack([h, torch.relu(h)]).sum(),
        lambda h: torch.relu(torch.vstack([h, 2 * h]) + torch.column_stack([h, h]).T).sum(),
    ],
    "moves": [
        lambda h: torch.relu(h.repeat(2) + h.tile(2) - h.repeat_interleave(2)).sum(),
        lambda h: torch.relu(h.unfold(0, 2, 1)).sum() + torch.relu(h.gather(0, PICKS) - h.take(PICKS + 1)).sum(),
        lambda h: torch.relu(h.reshape(2, 3).rot90() + h.reshape(2, 3).mT.movedim(0, 0)).sum(),
        lambda h: torch.relu(h.narrow(0, 1, 3).ravel() + h.take_along_dim(PICKS, 0)).sum(),
        lambda h: torch.relu(h.view_as(h + 1) + h[:1].expand_as(2 * h) - h.type_as(h)).sum(),
        lambda h: torch.relu(F.pixel_shuffle(h[:4].reshape(4, 1, 1), 2)[0, 0] - h[:2]).sum(),
        lambda h: torch.relu(F.pixel_unshuffle(h[:4].reshape(1, 2, 2), 2).reshape(4) - h[2:]).sum(),
    ],
    "affine": [
        lambda h: torch.relu(h.reshape(2, 3).tril() + torch.triu(h.reshape(2, 3), 1)).sum(),
        lambda h: torch.relu(torch.diag(h) - torch.diag_embed(h)).sum() + torch.relu(h[:4].reshape(2, 2).trace()),
        lambda h: torch.diff(h).abs().sum() + torch.relu(torch.kron(h, C) - torch.outer(h, C).reshape(-1)).sum(),
        lambda h: torch.relu(torch.tensordot(h, C, 1) - 2) + torch.inner(h, C).abs(),
        lambda h: torch.relu(F.interpolate(h.reshape(1, 1, 6), scale_factor=2.0, mode="linear")).sum(),
        lambda h: torch.relu(F.interpolate(h.reshape(1, 1, 6), scale_factor=2.0) - 1).sum(),
        lambda h: torch.relu(F.unfold(h.reshape(1, 1, 2, 3), 2)).sum(),
        lambda h: torch.relu(torch.negative(torch.subtract(torch.multiply(h, 2.0), torch.divide(h, 3.0)))).sum(),
    ],
    "several that depend on x": [
        lambda h: torch.addmm(h[None], torch.relu(h)[None], torch.eye(6).to(h) + 0.5).relu().sum(),
        lambda h: torch.addmv(h, torch.ones(6, 6).to(h), torch.relu(h), alpha=2.0, beta=0.5).relu().sum(),
        lambda h: torch.baddbmm(h[None, None], torch.relu(h)[None, None], torch.eye(6).to(h)[None]).relu().sum(),
        lambda h: torch.addcmul(torch.relu(h), h, C.abs(), value=2.0).relu().sum(),
        lambda h: torch.lerp(torch.relu(h), h, 0.3).relu().sum() + torch.lerp(h, h.flip(0), C.abs() / 2).abs().sum(),
        lambda h: torch.relu(torch.where(MASK, h, h.flip(0)) + torch.where(MASK, h, 0.5)).sum(),
        lambda h: torch.relu(h.masked_fill(MASK, 0.25)).sum() + h.masked_fill(~MASK, -7.0).abs().sum(),
    ],
    "kinks": [
        lambda h: torch.clip(h, min=0.5).sum() + F.threshold(h, 1.0, 1.0).sum() + torch.fmax(h, h.flip(0)).sum(),
        lambda h: torch.maximum(h, C[:1].to(h).expand_as(h)).sum() + torch.maximum(h, C.view_as(h).type_as(h)).sum(),
        lambda h: torch.maximum(h, torch.full_like(h, 0.5)).sum() + torch.maximum(h, h.new_zeros(6)).sum(),
        lambda h: -F.logsigmoid(h).sum() - F.log_softmax(h, 0)[2] + torch.absolute(h - torch.ones_like(h)).sum(),
    ],
    "norms": [
        lambda h: torch.linalg.norm(h) + torch.linalg.norm(h, 1) + torch.linalg.norm(h, float("inf")),
        lambda h: torch.linalg.norm(h.reshape(2, 3), dim=1).sum() + torch.linalg.norm(h.reshape(2, 3), ord="fro"),
        lambda h: torch.linalg.matrix_norm(h.reshape(2, 3)) + torch.linalg.vector_norm(h, float("inf")),
        lambda h: (
            torch.cdist(h[None], torch.stack([C, -C]).to(h)).sum() + torch.cdist(C[None].to(h), h[None], p=1.0).sum()
        ),
        lambda h: F.pairwise_distance(h[None], C[None].to(h)).sum() + F.pairwise_distance(C.to(h), h, p=1.0).sum(),
    ],
    "losses": [
        lambda h: torch.var(h) + torch.var(h.reshape(2, 3), dim=1, correction=0).sum() + h.reshape(2, 3).std(1).sum(),
        lambda h: F.mse_loss(h, C.to(h)) + F.mse_loss(h, h.flip(0), reduction="sum"),
        lambda h: F.l1_loss(C.to(h), h) + (C.abs().to(h) * F.mse_loss(h, C.to(h), reduction="none")).sum(),
    ],
}


class Head(nn.Module):
    def __init__(self, functions: list[Function]) -> None:
        super().__init__()
        self.affine, self.functions = nn.Linear(4, 6), functions

    def forward(self, x: Tensor) -> Tensor:
        h = self.affine(x)
        return torch.stack([function(h).to(h) for function in self.functions]).sum()


def head(functions: list[Function]) -> Head:
    torch.manual_seed(0)
    return Head(functions).double()


@pytest.mark.parametrize("kind", READ)
def test_functions_are_read(kind: str) -> None:
    module = head(READ[kind])
    net = FrozenNet.from_torch(module, torch.zeros(4))
    points = 3 * torch.randn(20, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    with torch.no_grad():
        expected = [float(module(point)) for point in points]
    np.testing.assert_allclose(net(points.numpy()), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda h: -torch.minimum(h, 2 * h), r"takes a minimum, .* write -maximum\(-a, -b\)"),
        (torch.amin, "takes a minimum"),
        (lambda h: h.clamp(max=1.0), "clamps from above"),
        (F.relu6, "clamps from above"),
        (lambda h: F.threshold(h, 0.0, -1.0), "jumps from -1 to 0 at its threshold"),
        (
            lambda h: torch.linalg.norm(h.reshape(2, 3), 2),
            "is a matrix norm of order 2; of matrices the Frobenius norm",
        ),
        (lambda h: torch.linalg.norm(h.reshape(2, 3), "nuc"), "is a matrix norm of order nuc"),
        (lambda h: torch.linalg.norm(h, 3), "is a norm of order 3; those of orders 1, 2 and infinity are read"),
        (lambda h: torch.var(torch.relu(h)), "takes the variance of something that is not affine"),
        (lambda h: torch.var(h[:1]), "divides the variance of 1 entries by 0"),
        (lambda h: torch.lerp(h, 2 * h, h), "has a weight that depends on x"),
        (lambda h: F.log_softmax(h, 0), "negative"),
        (F.logsigmoid, "negative"),
    ],
)
def test_what_is_not_convex_is_refused_with_its_reason(function: Function, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        FrozenNet.from_torch(head([lambda h: function(h).sum()]), torch.zeros(4))
