"""PyEPO models of the problems on open solvers, each as fast as its structure allows: training solves thousands.

A model sets the coefficients c by `setObj` and returns (x, c'x) by `solve`, for the sense that it states.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
from pyepo import EPO
from pyepo.model.opt import optModel
from scipy import sparse

from socicnn._arrays import Array


class Oracle(optModel):
    """A model whose solver is a function of the coefficients.

    Args:
        n: number of coefficients.
        maximise: whether it maximises c'x.
    """

    def __init__(self, n: int, *, maximise: bool = False) -> None:
        self._n, self._c = n, np.zeros(n)
        self.modelSense = EPO.MAXIMIZE if maximise else EPO.MINIMIZE
        super().__init__()

    def _getModel(self) -> tuple[Any, Any]:
        return None, range(self._n)

    def setObj(self, c: Any) -> None:
        """Take the coefficients."""
        self._c = np.asarray(c, dtype=np.float64)

    def solve(self) -> tuple[Array, float]:
        """Return the best x and c'x."""
        x = self.best(-self._c if self.modelSense == EPO.MAXIMIZE else self._c)
        return x, float(self._c @ x)

    @abstractmethod
    def best(self, c: Array) -> Array:
        """Return the x that minimises c'x."""


class GridPath(Oracle):
    """The cheapest path over a grid from its first to its last corner, to the right and down, by dynamic programming.

    Args:
        side: nodes along a side; arcs are in PyEPO's order.
    """

    def __init__(self, side: int) -> None:
        from pyepo.model.utils import _get_grid_arcs

        self.arcs = [(int(a), int(b)) for a, b in _get_grid_arcs((side, side))]
        into: list[list[tuple[int, int]]] = [[] for _ in range(side * side)]
        for place, (a, b) in enumerate(self.arcs):
            into[b].append((a, place))
        self._into = into
        super().__init__(len(self.arcs))

    def best(self, c: Array) -> Array:
        """Return the path as 0 and 1 on the arcs; nodes are numbered along the way."""
        cost, least, by = c.tolist(), [0.0], [(-1, -1)]
        for arcs in self._into[1:]:
            best = min((least[a] + cost[place], a, place) for a, place in arcs)
            least.append(best[0])
            by.append(best[1:])
        x, node = np.zeros(len(cost)), len(by) - 1
        while node:
            node, place = by[node]
            x[place] = 1.0
        return x


class Listed(Oracle):
    """The best of the points that are listed.

    Args:
        points: shape `(points, n)`.
        maximise: as above.
    """

    def __init__(self, points: Array, *, maximise: bool = False) -> None:
        self.points = points
        super().__init__(points.shape[1], maximise=maximise)

    def best(self, c: Array) -> Array:
        """Return the best point."""
        return self.points[np.argmin(self.points @ c)]


class Knapsack(Oracle):
    """The relaxed knapsack max c'x, W x <= capacity, 0 <= x <= 1, by the simplex method of HiGHS from the last basis.

    Args:
        W: weights, shape `(resources, items)`.
        capacity: shape `(resources,)`.
    """

    def __init__(self, W: Array, capacity: Array) -> None:
        import highspy

        rows, n = W.shape
        self._solver = highspy.Highs()
        self._solver.setOptionValue("output_flag", False)
        lp, inf = highspy.HighsLp(), highspy.kHighsInf
        lp.num_col_, lp.num_row_ = n, rows
        lp.col_cost_, lp.col_lower_, lp.col_upper_ = np.zeros(n), np.zeros(n), np.ones(n)
        lp.row_lower_, lp.row_upper_ = np.full(rows, -inf), np.asarray(capacity, dtype=np.float64)
        matrix = sparse.csc_array(W)
        lp.a_matrix_.start_, lp.a_matrix_.index_ = matrix.indptr, matrix.indices
        lp.a_matrix_.value_ = matrix.data
        self._solver.passModel(lp)
        self._columns = np.arange(n, dtype=np.int32)
        super().__init__(n, maximise=True)

    def best(self, c: Array) -> Array:
        """Return a vertex."""
        self._solver.changeColsCost(len(c), self._columns, c)
        self._solver.run()
        return np.array(self._solver.getSolution().col_value)


class Portfolio(Oracle):
    """The portfolio max c'x, sum x = 1, x >= 0, x'S x <= risk, by Clarabel, set up once.

    Args:
        factor: B with S = B'B, shape `(k, n)`.
        risk: the bound.
    """

    def __init__(self, factor: Array, risk: float) -> None:
        import clarabel

        k, n = factor.shape
        G = sparse.csc_matrix(np.vstack([np.ones((1, n)), -np.eye(n), np.zeros((1, n)), -factor]))
        h = np.concatenate([[1.0], np.zeros(n), [np.sqrt(risk)], np.zeros(k)])
        cones = [clarabel.ZeroConeT(1), clarabel.NonnegativeConeT(n), clarabel.SecondOrderConeT(k + 1)]
        settings = clarabel.DefaultSettings()
        settings.verbose, settings.presolve_enable = False, False
        self._solver = clarabel.DefaultSolver(sparse.csc_matrix((n, n)), np.ones(n), G, h, cones, settings)
        super().__init__(n, maximise=True)

    def best(self, c: Array) -> Array:
        """Return the best portfolio."""
        self._solver.update(q=c)
        return np.array(self._solver.solve().x)


class Starts(Oracle):
    """The cheapest feasible start of each job: one coefficient a job and start, x is 1 at the starts that are chosen.

    Args:
        sizes: number of starts of each job.
        feasible: which combinations are allowed, shape `sizes`.
    """

    def __init__(self, sizes: tuple[int, ...], feasible: Array) -> None:
        self._cuts, self._sizes = np.cumsum(sizes)[:-1], sizes
        self._barred = np.where(feasible, 0.0, np.inf)
        super().__init__(sum(sizes))

    def best(self, c: Array) -> Array:
        """Return the best combination of all."""
        total = self._barred
        for job, own in enumerate(np.split(c, self._cuts)):
            total = total + own.reshape([-1 if job == axis else 1 for axis in range(len(self._sizes))])
        starts = np.unravel_index(np.argmin(total), self._sizes)
        x = np.zeros(len(c))
        x[np.concatenate([[0], self._cuts]) + np.array(starts)] = 1.0
        return x
