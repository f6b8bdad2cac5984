"""Terms of exponentials: weighted log-sum-exps of affine maps, and weighted sums of softplus of one row each.

alpha log sum_i exp((G x + o)_i)      and      sum_i omega_i log(1 + exp((S x + s)_i)),   alpha, omega >= 0

Nothing overflows or cancels: log sum exp(p) = m + log sum exp(p - m) with m = max p. Both have one kind of cone block,
as log(1 + exp(p)) is the log-sum-exp of (p, 0).
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple, Self

import numpy as np

from socicnn._arrays import Array, Matrix
from socicnn.frozen._checks import ArrayCheck
from socicnn.frozen._softplus import unit
from socicnn.frozen._terms import Term

ONE = np.asarray(1.0)  # tau of the units log(1 + exp(a))


class Shares(NamedTuple):
    """Of log-sum-exps t of groups of rows: t of shape `(groups, N)`, the softmax p of the rows, and 1 - log p."""

    t: Array
    p: Array
    depth: Array


def shares(a: Array) -> Shares:
    """Return log-sum-exps over the middle axis of a, shape `(groups, rows, N)`, with their softmax.

    >>> shares(np.array([[[1000.0], [1000.0]]])).t.tolist()
    [[1000.6931471805599]]
    """
    m = a.max(axis=1, keepdims=True)
    with np.errstate(under="ignore", invalid="ignore"):
        e = np.exp(a - m)
        total = e.sum(axis=1, keepdims=True)
        bend = np.log(total)
        return Shares((m + bend)[:, 0], e / total, 1.0 + (m - a) + bend)


class ExpTerm(Term):
    """A term of exponentials; `LogSumExp` and `Logistic` are the two kinds."""

    KIND: ClassVar[Literal["logsumexp", "logistic"]]

    @property
    @abstractmethod
    def prices(self) -> Array:
        """Weights of the groups, shape `(1 or contexts, 1 or groups)`."""

    def used(self) -> Self | None:
        """Return what has a weight in the only context; None if nothing has."""
        return self if self.weight.any() else None

    def total(self, x: Array) -> Array:
        """Return the term at points x of shape `(count, n)`."""
        return np.asarray((self.prices * self.values(x)).sum(axis=-1))


@dataclass(frozen=True, eq=False, init=False)
class LogSumExp(ExpTerm):
    """The branch alpha log sum_i exp((G x + o)_i), or alpha times the sum of those of consecutive groups of rows.

    Args:
        alpha: >= 0, a number, held as shape `(1,)`, or shape `(contexts,)`.
        G: shape `(rows, n)`, dense or sparse.
        o: shape `(rows,)`, held as `(1, rows)`, or `(contexts, rows)`; zero if omitted.
        group: rows of each group; defaults to all rows together.

    >>> LogSumExp(1.0, [[1.0], [2.0], [3.0]]).total(np.ones((1, 1)))
    array([3.40760596])
    """

    alpha: Array
    G: Matrix
    o: Array
    group: int

    VECTORS: ClassVar = {"alpha": 0, "o": 1}
    LETTERS = ("alpha", "G", "o")
    KIND = "logsumexp"

    def __init__(self, alpha: Any, G: Any, o: Any = None, group: int | None = None) -> None:
        self._fill(alpha, G, o)
        self._set(group=sum(self.G.shape[:1]) if group is None else group)

    @property
    def prices(self) -> Array:
        """One weight for all groups."""
        return self.alpha[:, None]

    def values(self, x: Array) -> Array:
        """Return log sum exp of each group at points x of shape `(count, n)`: `(count, groups)`."""
        return shares(self.image(x).transpose(1, 2, 0)).t.T


@dataclass(frozen=True, eq=False, init=False)
class Logistic(ExpTerm):
    """The branch sum_i omega_i log(1 + exp((S x + s)_i)), one weight per row.

    Args:
        omega: >= 0, shape `(rows,)`, held as `(1, rows)`, or `(contexts, rows)`; a number stands for all rows.
        S: shape `(rows, n)`, dense or sparse.
        s: shape `(rows,)`, held as `(1, rows)`, or `(contexts, rows)`; zero if omitted.

    >>> Logistic(1.0, [[1.0]]).total(np.array([[1.0], [0.0]]))
    array([1.31326169, 0.69314718])
    """

    omega: Array
    S: Matrix
    s: Array

    VECTORS: ClassVar = {"omega": 1, "s": 1}
    LETTERS = ("omega", "S", "s")
    KIND = "logistic"

    def __init__(self, omega: Any, S: Any, s: Any = None) -> None:
        self._fill(omega, S, s)
        if not self.omega.ndim:
            self._set(omega=np.full(self.S.shape[:1], float(self.omega)))

    @property
    def rows(self) -> int:
        """One row is a group."""
        return 1

    @property
    def prices(self) -> Array:
        """The weights."""
        return self.omega

    def used(self) -> Self | None:
        """Return the rows that have a weight in the only context; None if none has."""
        rows = np.flatnonzero(self.omega)
        if len(rows) in (0, self.omega.size):
            return self if len(rows) else None
        return self.changed(omega=self.omega[:, rows], S=self.S[rows], s=self.s[:, rows])

    def values(self, x: Array) -> Array:
        """Return log(1 + exp(p)) of each row p at points x of shape `(count, n)`: `(count, rows)`."""
        return unit(self.image(x)[..., 0], ONE)

    def check(self, check: ArrayCheck, what: str) -> None:
        """Check the term, a branch with the name `what`; errors are those of `Term.check`."""
        check.matrix(f"matrix S of {what}", self.S, None, check.n)
        check.vector(f"weight omega of {what}", self.omega, self.S.shape[0], sign=True)
        check.vector(f"offset s of {what}", self.s, self.S.shape[0])
