"""A search in units of its own: f and x divided by powers of two, which changes no bit of what is found.

With f = 2^k f' + c and x = 2^j x' the optimisers see f' near one over a set of size near one, whatever the units of the
user are, and never the constant c. Multipliers of f' times 2^k are multipliers of f.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from decision._minimise.stack import Dual
from decision.sets import Box
from decision.sets._base import FeasibleSet
from socicnn._arrays import Array, IntArray
from socicnn.frozen import FrozenNet
from socicnn.frozen._composition import composed_layer, composed_term
from socicnn.frozen._network import BRANCHES


@dataclass(frozen=True, eq=False)
class Units:
    """Units of f, one per context, and of x.

    Args:
        value: exponent k of each context, shape `(contexts,)`.
        x: exponent j; zero for sets other than boxes, whose size is fixed.
    """

    value: IntArray
    x: int = 0

    @classmethod
    def of(cls, size: Tensor | Array, feasible_set: FeasibleSet) -> Units:
        """Return the units in which f has about these sizes and the set a diameter of about one per coordinate.

        Args:
            size: of f in each context, shape `(contexts,)`; where it is zero or infinite f is left as it is.
            feasible_set: the set X.
        """
        sizes = size if isinstance(size, np.ndarray) else size.cpu().numpy()
        known = np.where((sizes > 0) & (sizes < np.inf), sizes, 1.0)
        j = 0
        if isinstance(feasible_set, Box):
            half = feasible_set.diameter / np.sqrt(feasible_set.n) / 2
            j = int(np.clip(np.frexp(half)[1], -1000, 1000)) if 0 < half < np.inf else 0
        return cls(np.clip(np.frexp(known)[1], -1000, 1000).astype(np.int64), j)

    def take(self, rows: IntArray) -> Units:
        """Return the units of some contexts."""
        return replace(self, value=self.value[rows])

    def unit(self, like: Tensor) -> Tensor:
        """Return 2^k of each context, shape `(contexts,)`."""
        return torch.as_tensor(np.exp2(self.value)).to(like)

    def net(self, net: FrozenNet) -> FrozenNet:
        """Return the network f' = 2^-k (f(2^j x') - c)."""
        k = np.exp2(-self.value)
        rows, x = k[:, None], 2.0**self.x
        layers = [composed_layer(layer, 1 / x) for layer in net.layers] if self.x else net.layers
        at = self.x - self.value[:, None]  # 2^-k 2^j alone may overflow
        output = replace(net.output, w=net.output.w * rows, v=np.ldexp(net.output.v, at), c=0.0 * k)
        branches: dict[str, Any] = {
            name: [composed_term(term, 1 / x, factor=rows if name == "logistics" else k) for term in getattr(net, name)]
            for name in BRANCHES
        }
        return replace(net, layers=layers, output=output, **branches)

    def set(self, feasible_set: FeasibleSet) -> FeasibleSet:
        """Return the set of x'."""
        if not self.x:
            return feasible_set
        assert isinstance(feasible_set, Box)
        known = _SCALED.setdefault(feasible_set, {})
        if self.x not in known:
            lower, upper = (np.asarray(feasible_set.config()[end]) * 2.0**-self.x for end in ("lower", "upper"))
            known[self.x] = Box(feasible_set.n, lower, upper)
        return known[self.x]

    def inward(self, x: Tensor) -> Tensor:
        """Return x' of points x."""
        return x * 2.0**-self.x

    def outward(self, x: Tensor) -> Tensor:
        """Return x of points x'."""
        return x * 2.0**self.x

    def multipliers(self, dual: Dual) -> Dual:
        """Return the dual point of f that belongs to one of f'."""
        unit = self.unit(dual.lam[0])[:, None] if dual.lam else torch.empty(0)
        return Dual(tuple(lam * unit for lam in dual.lam), dual.u, dual.p)


_SCALED: WeakKeyDictionary[Box, dict[int, Box]] = WeakKeyDictionary()  # sets are values: each scaled once
