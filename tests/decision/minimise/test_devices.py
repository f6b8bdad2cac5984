"""The batched methods on another device than the CPU: the same decisions and proofs in float64."""

import pytest
import torch

from decision import Box, DecideOptions, Simplex, decide, surrogates
from decision._options import MethodName
from decision.sets import FeasibleSet


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU")
@pytest.mark.parametrize("method", ["interior_point", "projected_gradient", "auto"])
@pytest.mark.parametrize("name", ["soc-partial", "relu-joint", "soc-joint"])
def test_a_gpu_decides_as_the_cpu_does(name: str, method: MethodName) -> None:
    draw = torch.Generator().manual_seed(0)
    model = surrogates.make(name, 6, 3, generator=draw, dtype=torch.float64)
    theta = torch.randn(20, 3, generator=draw, dtype=torch.float64)
    regions: list[FeasibleSet] = [Simplex(6), Box(6, -1.0, 2.0)]
    for region in regions:
        here = decide(model, region, theta, method)
        there = decide(model, region, theta, method, options=DecideOptions(device="cuda"))
        assert bool(there.certified.all())
        allowed = here.gap + there.gap.cpu()
        assert bool(((here.value - there.value.cpu()).abs() <= allowed + 1e-12 * here.value.abs()).all())
