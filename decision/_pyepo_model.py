"""A set as an optimisation model of PyEPO; imported where PyEPO is there."""

from __future__ import annotations

from typing import Any, final

import numpy as np
import torch
from pyepo import EPO
from pyepo.model.opt import optModel

from decision._deciding import decide
from decision._options import RTOL
from decision.sets import ConicSet, FeasibleSet, Intersection, Polytope
from socicnn._arrays import Array, as_float64
from socicnn.errors import ModelError, ProgramError, SolverError
from socicnn.frozen import FrozenNet, Output


@final
class SetModel(optModel):
    """The best x of a set for a linear cost, as PyEPO asks for it; see `to_pyepo` for the arguments.

    Attributes:
        feasible_set: the set.
        integer: entries that must be whole.
    """

    def __init__(
        self,
        feasible_set: FeasibleSet | ConicSet,
        *,
        integer: tuple[int, ...] = (),
        maximise: bool = False,
        rtol: float = RTOL,
    ) -> None:
        if not isinstance(feasible_set, FeasibleSet | ConicSet):
            raise ProgramError(f"to_pyepo needs a set of `decision.sets`; received {type(feasible_set).__name__}")
        if isinstance(feasible_set, ConicSet) and feasible_set.moves:
            raise ProgramError("a model of PyEPO has one set; this one moves with the context: give one without")
        if any(not 0 <= place < feasible_set.n for place in integer):
            raise ProgramError(f"integer must name entries of x, from 0 to {feasible_set.n - 1}; received {integer}")
        self.feasible_set, self.integer, self._rtol = feasible_set, integer, rtol
        self.modelSense = EPO.MAXIMIZE if maximise else EPO.MINIMIZE
        self._c = np.zeros(feasible_set.n)
        super().__init__()

    def _getModel(self) -> tuple[None, range]:
        return None, range(self.feasible_set.n)

    def setObj(self, c: Any) -> None:
        """Take the coefficients, shape `(n,)`.

        Raises:
            ModelError: another shape, or entries that are not finite.
        """
        values = as_float64(c, "the cost")
        if values.shape != (self.feasible_set.n,) or not np.isfinite(values).all():
            raise ModelError(f"the cost must be {self.feasible_set.n} finite numbers; received shape {values.shape}")
        self._c = values

    def solve(self) -> tuple[Array, float]:
        """Return the best x and c'x.

        Raises:
            SolverError: the decision is not certified, or the set is empty.
        """
        x = self._best(self._c if self.modelSense == EPO.MINIMIZE else -self._c)
        return x, float(self._c @ x)

    def _best(self, c: Array) -> Array:
        known = self.feasible_set if isinstance(self.feasible_set, FeasibleSet) else self.feasible_set.fixed()
        if known is not None and not self.integer:
            return known.minimise_linear(torch.tensor(c)).numpy()
        net = FrozenNet([], Output(np.zeros(0), c))
        answer = decide(net, self.feasible_set, rtol=self._rtol, integer=self.integer)
        if not answer.ok:
            raise SolverError(f"{answer.status} PyEPO needs a solution; check that the set is not empty, or raise rtol")
        return answer.x[0].numpy()

    def addConstr(self, coefs: Any, rhs: float) -> SetModel:
        """Return a model with the row coefs'x <= rhs as well."""
        row = Polytope(A=as_float64(coefs, "coefs")[None], b=[float(rhs)])
        return self._with(Intersection([self.feasible_set, row]), self.integer)

    def relax(self) -> SetModel:
        """Return the model without the demand of whole numbers."""
        return self._with(self.feasible_set, ())

    def _with(self, feasible_set: FeasibleSet | ConicSet, integer: tuple[int, ...]) -> SetModel:
        maximise = bool(self.modelSense == EPO.MAXIMIZE)
        return SetModel(feasible_set, integer=integer, maximise=maximise, rtol=self._rtol)
