"""CVXPY constraints on one variable, and the same as rows G v + s = h, s in K, on v = [x | further variables].

The rows are CVXPY's own canonical form of the constraints. What is proven about a decision is proven for these rows:
that they describe the constraints is CVXPY's part.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from socicnn._arrays import Array, BoolArray, as_float64
from socicnn._cvxpy_atom.build import to_cvxpy
from socicnn.conic._cones import Cones
from socicnn.conic._rows import Rows
from socicnn.conic.solvers import Solver
from socicnn.errors import ProgramError, SolverError
from socicnn.frozen import FrozenNet
from verify._optimum.altered import altered
from verify._optimum.unvalued import lacking, unvalued

FAR = 1e9  # a plane this many times further from the origin than the nearest others is kept from the solver at first


@dataclass(eq=False)
class Constraints:
    """CVXPY constraints on one variable x of n entries, and perhaps on helper variables and parameters.

    Args:
        listed: the constraints.
        x: the variable.
        values: parameter -> its value in each context, shape `(contexts, *shape)`.
    """

    listed: list[Any]
    x: Any
    values: dict[Any, Array] = field(default_factory=dict)
    _last: tuple[int, Rows | None] | None = field(default=None, init=False)
    _problem: tuple[Any, Any] | None = field(default=None, init=False)

    @classmethod
    def of(
        cls, constraints: Sequence[Any], n: int, x: Any = None, parameters: Mapping[Any, Any] | None = None
    ) -> Constraints:
        """Return constraints after finding their variable.

        Args:
            constraints: the constraints.
            n: length of x.
            x: which variable is x; found by its size if omitted.
            parameters: parameter -> value per context, shape `(contexts, *shape)`; the others keep their values.

        Raises:
            ProgramError: these are no CVXPY constraints, there is no single variable of n entries, they are not
                convex, a parameter has no value, or their data hold NaN.
        """
        import cvxpy as cp

        listed: list[Any] = list(constraints) if isinstance(constraints, list | tuple) else [constraints]
        if not listed or not all(isinstance(part, cp.constraints.constraint.Constraint) for part in listed):
            raise ProgramError(
                "the feasible set must be one of decision.sets or a list of CVXPY constraints; received "
                f"{type(constraints).__name__}"
            )
        problem = cp.Problem(cp.Minimize(0), listed)
        if not problem.is_dcp():
            bad = [str(part) for part in listed if not part.is_dcp()]
            raise ProgramError(
                f"the constraints must be convex by CVXPY's rules (DCP); these are not: {'; '.join(bad)}"
            )
        made = cls(listed, _variable(listed, n, x), _values(problem.parameters(), parameters or {}))
        made.enter(0)
        empty = lacking(problem)
        if empty:
            raise ProgramError(f"parameters without a value: {', '.join(empty)}; set them, or give one per context")
        made._canonical()  # data that are invalid are refused at once
        return made

    @property
    def contexts(self) -> int | None:
        """Number of contexts that parameters have values for; None without."""
        return next((len(value) for value in self.values.values()), None)

    @property
    def conic(self) -> bool:
        """Whether linear rows and second-order cones say all of it."""
        return self._canonical() is not None

    @property
    def rows(self) -> Rows | None:
        """The rows of the first context; None if they need other cones."""
        self.enter(0)
        return self._canonical()

    def enter(self, index: int) -> None:
        """Give the parameters their values in a context."""
        for parameter, value in self.values.items():
            try:
                parameter.value = value[index]
            except ValueError as error:  # nonneg=True and the like
                where = f"the value of {parameter.name()} in context {index}"
                raise ProgramError(f"{where} does not fit: {error}") from error

    def __getitem__(self, index: int) -> Rows:
        place = index if self.values else 0
        if self._last is None or self._last[0] != place:
            self.enter(index)
            self._last = place, self._canonical()
        rows = self._last[1]
        assert rows is not None  # `conic` was asked
        return rows

    def bounds(self, index: int) -> tuple[Array, Array]:
        """Return no bounds: the rows say all that is known."""
        width = self[index].G.shape[1]
        return np.full(width, -np.inf), np.full(width, np.inf)

    def _canonical(self) -> Rows | None:
        """Return the constraints on [x | further variables] in this project's rows; None if that is impossible."""
        import cvxpy as cp

        if self._problem is None:
            plain = cp.Variable(self.x.shape)  # without the attributes of x, so that it keeps its columns
            self._problem = cp.Problem(cp.Minimize(0), [*self.listed, self.x == plain]), plain
        problem, plain = self._problem
        if problem.is_mixed_integer():
            return None
        altered(problem, quadratic=False)  # refuses what CVXPY would replace by another set
        with unvalued(problem):
            data = problem.get_problem_data(cp.CLARABEL)[0]
        dims, size = data["dims"], self.x.size
        if data["param_prob"].x.boolean_idx:  # of FiniteSet, which is_mixed_integer() does not know
            raise ProgramError(
                "the constraints hold a FiniteSet, whose whole numbers decide would leave out; put the network into "
                "the problem by `to_cvxpy`, and call `verify.optimum`"
            )
        if dims.exp or dims.psd or dims.p3d or getattr(dims, "pnd", None):
            return None
        start = data["param_prob"].var_id_to_col[plain.id]
        columns = data["A"].shape[1]
        own = start + np.arange(size).reshape(self.x.shape, order="F").reshape(-1)  # CVXPY counts columns first
        order = np.concatenate([own, np.setdiff1d(np.arange(columns), own)])
        G = sparse.csr_array(sparse.csc_array(data["A"])[:, order])
        G.eliminate_zeros()
        rows = Rows(G, np.asarray(data["b"], dtype=np.float64), Cones(dims.zero, dims.nonneg, tuple(dims.soc)))
        return _finite(_without_copies(rows, size))


@contextlib.contextmanager
def kept(parameters: Mapping[Any, Any] | None) -> Iterator[None]:
    """Give parameters their own values again at the end: they may stand in other problems of the user, too."""
    before = [(parameter, parameter.value) for parameter in parameters or {} if hasattr(parameter, "value")]
    try:
        yield
    finally:
        for parameter, value in before:
            parameter.value = value


def _variable(listed: list[Any], n: int, x: Any) -> Any:
    """Return the variable of the network's x among those of the constraints."""
    variables = {variable.id: variable for part in listed for variable in part.variables()}
    if x is not None:
        if getattr(x, "size", None) != n or getattr(x, "id", None) not in variables:
            raise ProgramError(f"x= must be a CVXPY variable of the constraints with {n} entries; received {x}")
        return x
    fitting = [variable for variable in variables.values() if variable.size == n]
    if len(fitting) != 1:
        raise ProgramError(
            f"the constraints must hold exactly one CVXPY variable of {n} entries, the x of the network; found "
            f"{len(fitting)} among {len(variables)} variables (CvxpySet(constraints, x=...) says which one it is)"
        )
    return fitting[0]


def _values(known: Sequence[Any], parameters: Mapping[Any, Any]) -> dict[Any, Array]:
    """Return the values of parameters, checked."""
    values: dict[Any, Array] = {}
    for parameter, value in parameters.items():
        if not any(parameter is part for part in known):
            raise ProgramError(f"{parameter} is not a parameter of the constraints; leave its values out")
        array = as_float64(value, f"the value of {parameter.name()}")
        if array.ndim != parameter.ndim + 1 or array.shape[1:] != tuple(parameter.shape):
            wanted = ", ".join(["contexts", *map(str, parameter.shape)])
            raise ProgramError(f"values of {parameter.name()} must have shape ({wanted}); received {array.shape}")
        if not np.isfinite(array).all():
            raise ProgramError(f"values of {parameter.name()} must be finite; remove or replace the others")
        values[parameter] = array
    counts = sorted({len(value) for value in values.values()})
    if len(counts) > 1 or counts == [0]:
        raise ProgramError(f"parameters need values for the same contexts, at least one; received {counts}")
    return values


def _without_copies(rows: Rows, n: int) -> Rows:
    """Return the rows after v_k is put in place of x_j wherever they say x_j - v_k = 0 and x_j stands nowhere else."""
    G, zero = rows.G, rows.cones.zero
    columns = sparse.csc_array(G)
    uses = np.diff(columns.indptr)
    place = np.arange(G.shape[1])
    gone = []
    for i in range(zero):
        pair = slice(G.indptr[i], G.indptr[i + 1])
        if pair.stop - pair.start != 2 or rows.h[i] != 0.0 or float(G.data[pair].sum()) != 0.0:
            continue
        j, k = sorted(int(part) for part in G.indices[pair])
        if j < n <= k and uses[j] == 1 and place[k] == k:
            place[k] = j
            gone.append(i)
    if not gone:
        return rows
    left = np.concatenate([np.arange(n), n + np.flatnonzero(place[n:] == np.arange(n, len(place)))])
    index = np.full(len(place), -1)
    index[left] = np.arange(len(left))
    entries = sparse.coo_array(G[np.delete(np.arange(G.shape[0]), gone)])
    merged = sparse.coo_array(
        (entries.data, (entries.row, index[place[entries.col]])), shape=(entries.shape[0], len(left))
    )
    cones = Cones(zero - len(gone), rows.cones.nonnegative, rows.cones.second_order)
    return Rows(sparse.csr_array(merged), np.delete(rows.h, gone), cones)


def _finite(rows: Rows) -> Rows:
    """Return the rows without those that say x <= infinity."""
    G, h, cones = rows.G, rows.h, rows.cones
    inequality = _inequalities(cones)
    keep = ~(inequality & (h == np.inf))
    if not (np.isfinite(h[keep]).all() and np.isfinite(G.data).all()):
        raise ProgramError(
            "the constraints hold NaN, or an infinite bound that no point satisfies; give finite numbers "
            "(x <= infinity is allowed and says nothing)"
        )
    return some(Rows(G, np.where(keep, h, 0.0), cones), keep)


def near(rows: Rows) -> BoolArray:
    """Return which rows are not planes that are far away, shape `(rows,)`; x <= 1e15 next to x >= 0 harms a solver.

    A plane g'v <= h is far if h / ||g|| is at least 1e9 times the least distance of the others from the origin (or 1,
    if that is smaller). Fewer rows are a larger set: bounds over it hold; points must be checked with all rows.
    """
    distance = np.divide(rows.h, rows.lengths, out=np.zeros_like(rows.h), where=rows.lengths > 0)
    nearest = np.min(np.abs(distance[distance != 0]), initial=1.0)
    return ~(_inequalities(rows.cones) & (distance >= FAR * nearest))


def some(rows: Rows, keep: BoolArray) -> Rows:
    """Return some of the inequalities, and everything else."""
    if keep.all():
        return rows
    cones = Cones(rows.cones.zero, int(keep[_inequalities(rows.cones)].sum()), rows.cones.second_order)
    return Rows(sparse.csr_array(rows.G[np.flatnonzero(keep)]), rows.h[keep], cones)


def _inequalities(cones: Cones) -> BoolArray:
    places = np.arange(cones.rows)
    return (places >= cones.zero) & (places < cones.zero + cones.nonnegative)


def through_cvxpy(net: FrozenNet, constraints: Constraints, solver: Solver) -> tuple[Tensor, float, str]:
    """Solve one context as a CVXPY problem, with the solver's own settings; return x, its violation, a status."""
    import cvxpy as cp

    x = constraints.x
    problem = cp.Problem(cp.Minimize(to_cvxpy(net, x)), constraints.listed)
    began = time.perf_counter()
    for variable in problem.variables():
        variable.save_value(None)  # a failure must not return an older answer, nor values change the data
    try:
        problem.solve(solver=solver.name.upper(), **solver.settings)
        status = f"{solver.name} through CVXPY ended with '{problem.status}'"
    except cp.error.SolverError as error:
        status = f"{solver.name} through CVXPY failed after {time.perf_counter() - began:.1f} s: {error}"
        if problem.is_mixed_integer():
            status += (
                " The constraints have integers: name a solver that takes them, DecideOptions(solver='highs') for ReLU "
                "networks, or prove the problem of to_cvxpy(model, x) with verify.optimum"
            )
    except (AttributeError, TypeError, ValueError) as error:  # what solvers say to a setting that they do not know
        raise SolverError(f"{solver.name} through CVXPY refused {dict(solver.settings)}: {error}") from error
    if x.value is None:
        return torch.full((net.in_features,), torch.nan, dtype=torch.float64), np.nan, status
    point = torch.as_tensor(np.asarray(x.value, dtype=np.float64).reshape(-1))
    return point, _violation(constraints.listed), status


def _violation(constraints: list[Any]) -> float:
    """Return the worst violation of one constraint by CVXPY's measure, relative to its own sides, or to 1."""

    def relative(part: Any) -> float:
        worst = float(np.max(part.violation(), initial=0.0))
        values = [side.value for side in part.args if side.value is not None]
        entries = [value.data if sparse.issparse(value) else value for value in values]
        sides = [float(np.abs(each).max(initial=0.0)) for each in entries]
        return worst / max(1.0, *sides)

    return max(map(relative, constraints))
