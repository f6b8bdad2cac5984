"""Regrets of many contexts in one field of a table: 16 bits each, to 0.06 % of their size."""

from __future__ import annotations

import base64
import math

import numpy as np
import torch
from torch import Tensor

LEAST, MOST = -60.0, 20.0  # of log2; regrets below 1e-18 count as zero
STEPS = 2**16 - 3


def coded(regret: Tensor) -> str:
    """Return regrets as text: 0 for a failure (NaN), 1 for zero and less, 2 and more for LEAST and more of log2.

    >>> decoded(coded(torch.tensor([1e-6, 0.0, float("nan")]))).tolist()
    [1.0003753772055947e-06, 0.0, nan]
    """
    values = regret.detach().to(torch.float64).numpy()
    with np.errstate(divide="ignore", invalid="ignore"):
        share = (np.log2(values) - LEAST) / (MOST - LEAST)
    codes = np.where(share >= 0, 2 + np.round(np.clip(np.nan_to_num(share), 0, 1) * STEPS), 1)
    codes = np.where(np.isnan(values), 0, codes).astype("<u2")
    return "u16:" + base64.b64encode(codes.tobytes()).decode("ascii")


def decoded(text: str) -> Tensor:
    """Return the regrets of a text of `coded`, NaN for failures."""
    codes = np.frombuffer(base64.b64decode(text.removeprefix("u16:")), "<u2").astype(float)
    values = np.exp2(LEAST + (codes - 2) * (MOST - LEAST) / STEPS)
    return torch.tensor(np.where(codes == 0, math.nan, np.where(codes == 1, 0.0, values)))
