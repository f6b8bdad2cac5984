"""Which entries of x a network increases or decreases in, and how matrices are put together around them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self, final

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from socicnn._arrays import Matrix
from socicnn._integers import is_integer
from socicnn.errors import ModelError


@final
@dataclass(frozen=True)
class Signs:
    """One sign per entry of x: 1 increasing, -1 decreasing, 0 free. False where every entry is free.

    Args:
        signs: the signs.

    >>> signs = Signs.of([0, -1, 0], 3)
    >>> signs.joined(torch.tensor([1.0, 2.0]), torch.tensor([5.0])).tolist()
    [1.0, -5.0, 2.0]
    """

    signs: tuple[int, ...] = ()

    @classmethod
    def of(cls, monotone: Sequence[int] | None, n: int) -> Self:
        """Return the signs of n entries.

        Raises:
            ModelError: there are not n of them, or one is not -1, 0 or 1.
        """
        if monotone is None:
            return cls()
        signs = [int(sign) if is_integer(sign) else None for sign in monotone]
        if len(signs) != n or any(sign not in (-1, 0, 1) for sign in signs):
            listed = list(monotone)
            raise ModelError(f"monotone must hold one of -1, 0 and 1 for each of {n} entries of x; received {listed}")
        return cls(tuple(sign for sign in signs if sign is not None) if any(signs) else ())

    def __bool__(self) -> bool:
        return bool(self.signs)

    @property
    def free(self) -> list[int]:
        """Places of the free entries."""
        return [place for place, sign in enumerate(self.signs) if not sign]

    @property
    def bound(self) -> list[int]:
        """Places of the monotone entries."""
        return [place for place, sign in enumerate(self.signs) if sign]

    def turned(self, matrix: Tensor) -> Tensor:
        """Return the columns of the monotone entries, times their signs."""
        signs = torch.tensor([sign for sign in self.signs if sign], dtype=matrix.dtype, device=matrix.device)
        return signs * matrix[..., self.bound]

    def joined(self, free: Tensor, sizes: Tensor) -> Tensor:
        """Return entries along the last axis in the order of x: the free ones, and sign times size of the others."""
        signs = torch.tensor([sign for sign in self.signs if sign], dtype=sizes.dtype, device=sizes.device)
        order = np.argsort([*self.free, *self.bound]).tolist()
        return torch.cat([free, signs * sizes], dim=-1)[..., order]

    def spread(self, matrix: Matrix) -> Matrix:
        """Return a matrix of the free entries as one of all entries, zero in the monotone ones."""
        if not self.signs:
            return matrix
        n, free = len(self.signs), self.free
        if sparse.issparse(matrix):
            place = sparse.csr_array((np.ones(len(free)), (range(len(free)), free)), shape=(len(free), n))
            return sparse.csr_array(matrix @ place)
        wide: Any = np.zeros((matrix.shape[0], n))
        wide[:, free] = matrix
        return wide
