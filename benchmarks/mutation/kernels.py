"""Networks that a compiler builds that turns or transposes a kernel of a convolution."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from socicnn.frozen import FrozenNet


def wrong_kernels(model: Any, context: Any = None) -> Iterator[tuple[str, str, FrozenNet]]:
    """Yield kind, name of the weight, and network, for `benchmarks.mutation.mutants.compiler_mutants`.

    Args:
        model: a torch network; each of its kernels is changed in place, frozen, and put back.
        context: one context theta, where it takes one.
    """
    import torch

    for name, parameter in model.named_parameters():
        if parameter.ndim < 3 or name.startswith("vectors"):
            continue
        right = parameter.detach().clone()
        for kind, wrong in (("turned kernel", right.flip(-1)), ("transposed kernel", right.transpose(-1, -2))):
            if wrong.shape != right.shape or torch.equal(wrong, right):
                continue
            with torch.no_grad():
                parameter.copy_(wrong)
            try:
                changed = model.freeze(context)
            finally:
                with torch.no_grad():
                    parameter.copy_(right)
            yield kind, name.split(".")[0], changed
