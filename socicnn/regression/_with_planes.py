"""One network that is a network plus a maximum of planes: the planes are a chain of units beside its own.

m_k = l_k + relu(m_{k-1} - l_k),   l_k = a_k'x + b_k,   so that r_k = relu(r_{k-1} + l_{k-1} - l_k), m_K = l_K + r_K

A chain of K - 1 layers with one unit each; both end in the last layer. Nothing is approximated.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from socicnn.nn import SOCICNN, NetOptions
from socicnn.regression._planes import Planes


@torch.no_grad()
def with_planes(model: SOCICNN, share: float, planes: Planes) -> SOCICNN:
    """Return share * f + (1 - share) * max_k (a_k'x + b_k) as one float64 network, in the units of f.

    Args:
        model: f, with ReLU units, without a context.
        share: from 0 to 1; of 0 nothing of f is left in the network.
        planes: in the standardised units of f.
    """
    own = list(model.hidden_features) if share > 0 else []
    chain = len(planes.slopes) - 1
    depth = max(chain, len(own))
    widths = [(1 if k >= depth - chain else 0) + (own[k - depth] if k >= depth - len(own) else 0) for k in range(depth)]
    result = SOCICNN(
        model.in_features,
        widths,
        model.quadratic if share > 0 else (),
        model.norm if share > 0 else (),
        options=NetOptions(
            monotone=model.signs.signs or None, generator=torch.Generator().manual_seed(0), dtype=torch.float64
        ),
    )
    state = result.state_dict()
    old = model.as_plain().state_dict()
    for name in state:
        if name.startswith(("standardisation.", "A.", "C.", "vectors.free.d", "vectors.free.e")):
            state[name] = old[name].clone()
        elif name.startswith(("U.", "W.", "vectors.free.b")):
            state[name].zero_()
    _place_chain(state, planes, depth)
    for k in range(len(own)):
        at = depth - len(own) + k
        rows = slice(widths[at] - own[k], None)
        state[f"U.{at}"][rows] = old[f"U.{k}"]
        state[f"vectors.free.b{at + 1}"][rows] = old[f"vectors.free.b{k + 1}"]
        if k:
            state[f"W.{at - 1}.theta"][rows, widths[at - 1] - own[k - 1] :] = old[f"W.{k - 1}.theta"]
    _read_out(state, old, share, planes, result)
    result.load_state_dict(state)
    return result


def _place_chain(state: dict[str, Tensor], planes: Planes, depth: int) -> None:
    """Make the chain the first units of the last layers."""
    chain = len(planes.slopes) - 1
    slopes, offsets = (torch.from_numpy(-np.diff(part, axis=0)) for part in (planes.slopes, planes.offsets))
    for k in range(chain):
        at = depth - chain + k
        state[f"U.{at}"][0] = slopes[k]
        state[f"vectors.free.b{at + 1}"][0] = offsets[k]
        if k:
            state[f"W.{at - 1}.theta"][0, 0] = 1.0


def _read_out(state: dict[str, Tensor], old: dict[str, Tensor], share: float, planes: Planes, result: SOCICNN) -> None:
    """Weight the read-outs; a slope of a monotone entry is at least the least slope of the planes."""
    slopes, signs = torch.from_numpy(planes.slopes), result.signs
    added = {
        "vectors.free.v": slopes[-1][signs.free] if signs else slopes[-1],
        "vectors.free.c": torch.tensor(planes.offsets[-1]),
        "vectors.positive.v_signed.theta": signs.turned(slopes).amin(dim=0) if signs else slopes[:0],
    }
    for name in added.keys() & state.keys():
        state[name] = (1 - share) * added[name] + (share * old[name] if share > 0 else 0)
    chain = torch.full((int(len(slopes) > 1),), 1 - share, dtype=torch.float64)
    for name in ("vectors.positive.beta.theta", "vectors.positive.gamma.theta"):
        if name in state:
            state[name] = share * old[name]
    name = "vectors.positive.w.theta"  # the unit of the chain comes first
    if name in state:
        state[name] = torch.cat([chain, share * old[name]]) if share > 0 and name in old else chain
