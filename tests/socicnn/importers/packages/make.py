"""Write graphs that torch exports of networks of other packages, and the packages' own values at random points.

Needs an environment of its own:

    pip install torch==2.13.0 onnx==1.23.2 onnxscript==0.7.2 deepinv==0.5.0 neuromancer==1.5.6 \
        hessQuik==0.0.6
    pip install --no-deps cpflows==0.1.2
    python tests/socicnn/importers/packages/make.py

Each package writes NAME-VERSION.onnx and NAME-VERSION.npz (x, f) next to this file.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import nn

HERE = Path(__file__).parent


def deepinv() -> tuple[nn.Module, tuple[int, ...]]:
    """Convolutions with circular padding, leaky units, squares inside units, ||x||^2 as the square of a norm."""
    from deepinv.models import ICNN

    model = ICNN(in_channels=1, num_filters=3, kernel_dim=3, num_layers=2)
    model.zero_clip_weights()
    model.pos_weights = False  # they are non-negative now; the model clips them in each forward pass otherwise
    return model, (1, 5, 5)


def neuromancer(nonlin: Callable[[], nn.Module]) -> tuple[nn.Module, tuple[int, ...]]:
    """Hidden weights made non-negative by a softplus of their own."""
    from neuromancer.modules.blocks import InputConvexNN

    return InputConvexNN(4, 1, hsizes=[6, 6], nonlin=nonlin), (4,)


class Summed(nn.Module):
    """The first output, summed: a potential with one value per point."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return one value per point."""
        return self.module(x)[0].sum(dim=-1)


def hess_quik() -> tuple[nn.Module, tuple[int, ...]]:
    """Softplus units of a formula of its own; hidden weights are clipped in each forward pass."""
    import hessQuik.activations as act
    from hessQuik.networks import ICNN

    return Summed(ICNN(3, [None, 6, 5, 2], act=act.softplusActivation())), (3,)


def cpflows(kind: str) -> tuple[nn.Module, tuple[int, ...]]:
    """Convex potential flows: affine maps set by the first batch, softplus units less their value at 0."""
    from cpflows import icnn

    model = getattr(icnn, kind)(3, 6, 3, symm_act_first=True, zero_softplus=True)
    model(2 * torch.randn(50, 3))
    return model, (3,)


CASES: dict[str, Callable[[], tuple[nn.Module, tuple[int, ...]]]] = {
    "deepinv": deepinv,
    "neuromancer_relu": lambda: neuromancer(nn.ReLU),
    "hessQuik": hess_quik,
    "cpflows": lambda: cpflows("ICNN2"),
    "cpflows_augmented": lambda: cpflows("ICNN3"),
    "neuromancer_softplus": lambda: neuromancer(nn.Softplus),
    "neuromancer_leaky": lambda: neuromancer(lambda: nn.LeakyReLU(0.1)),
}


def write(name: str) -> None:
    """Write the two files of a case."""
    torch.manual_seed(0)
    module, shape = CASES[name]()
    module = module.double().eval()
    stem = f"{name}-{version(name.partition('_')[0])}"
    exported: Any = torch.onnx.export(module, (torch.zeros(1, *shape, dtype=torch.float64),), dynamo=True)
    graph = exported.model_proto
    del graph.metadata_props[:]
    for part in (*graph.graph.node, *graph.graph.initializer, *graph.graph.input, *graph.graph.output):
        part.doc_string = ""
        del part.metadata_props[:]
    del graph.graph.metadata_props[:], graph.graph.value_info[:]
    onnx.save(graph, str(HERE / f"{stem}.onnx"))
    x = 2 * torch.randn(6, *shape, dtype=torch.float64)
    with torch.no_grad():
        f = torch.stack([module(point[None]).reshape(()) for point in x])
    np.savez(HERE / f"{stem}.npz", x=x.numpy(), f=f.numpy())


if __name__ == "__main__":
    for case in sys.argv[1:] or CASES:
        write(case)
