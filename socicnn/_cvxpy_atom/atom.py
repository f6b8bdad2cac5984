"""The value of a network as one atom of CVXPY: convex in x, with value, subgradient, sign, direction and cone form."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any, Self, final

import cvxpy as cp
import numpy as np
from cvxpy.atoms import EXP_ATOMS, SOC_ATOMS
from cvxpy.atoms.affine.reshape import reshape
from cvxpy.atoms.atom import Atom
from cvxpy.reductions.dcp2cone.canonicalizers import CANON_METHODS
from scipy import sparse

from socicnn._arrays import Array, IntArray
from socicnn._compile import Compiled, Piece, pieces_of, with_pieces
from socicnn._cvxpy_atom.monotone import covered, decreasing, increasing, never_negative
from socicnn.conic._program import ValueProgram


@final
class Held(tuple[str, ...]):
    """A network as the data of an atom: to CVXPY the fingerprint, and the names of the pieces that are arguments.

    CVXPY merges atoms of the same type, arguments and `get_data()` into one, so `get_data()` has to tell networks
    apart. As a tuple it can be hashed: the same network at the same x is in a problem once, however often it is used.

    Args:
        compiled: the network and its program; a stack of contexts where pieces are arguments.
        moved: the pieces that are arguments of the atom.
    """

    compiled: Compiled
    moved: tuple[Piece, ...]

    def __new__(cls, compiled: Compiled, moved: tuple[Piece, ...] = ()) -> Self:
        """Return the data; its entries as a tuple are the fingerprint and the names."""
        held = super().__new__(cls, (compiled.net.fingerprint, *moved))
        held.compiled, held.moved = compiled, moved
        return held

    def __getnewargs__(self) -> tuple[Any, ...]:  # for pickle and copy
        return self.compiled, self.moved


class NetworkCost(Atom):
    """f(x, theta) as a convex expression without shape; `network_cost` makes it.

    CVXPY chooses a solver by the types of the atoms, before it sees their cones: hence one type per kind of cones.

    Args:
        x: expression of shape `(n,)`.
        *rest: if given, what the moved pieces are computed from, then these pieces; the last argument is the network.
            CVXPY assigns gradients to Parameters in this order, and a piece adds its own to that of the context.
    """

    def __init__(self, x: Any, *rest: Any) -> None:
        *others, self._held = rest
        self._last: tuple[bytes, Compiled] | None = None
        super().__init__(x, *others)

    def get_data(self) -> list[Any]:
        """Return what makes the same atom from its arguments."""
        return [self._held]

    def name(self) -> str:
        """Return `network(x)`, or `network(x, theta)`."""
        shown = self.args[: len(self.args) - len(self._held.moved)]
        return f"network({', '.join(arg.name() for arg in shown)})"

    def __iter__(self) -> Iterator[Any]:
        warnings.warn(
            "to_cvxpy returns one expression now, which brings its own constraints; write `cost = to_cvxpy(...)`",
            DeprecationWarning,
            stacklevel=2,
        )
        return iter((self, []))

    def shape_from_args(self) -> tuple[int, ...]:
        """Return (): a number."""
        return ()

    def is_atom_convex(self) -> bool:
        """Return True."""
        return True

    def is_atom_concave(self) -> bool:
        """Return False, also for a network without branches and layers."""
        return False

    def sign_from_args(self) -> tuple[bool, bool]:
        """Return whether f >= 0 and whether f <= 0 are known; where the context moves f, neither is."""
        x = self.args[0]
        program = self._held.compiled.program
        known = not self._held.moved and never_negative(program, x_nonneg=x.is_nonneg(), x_nonpos=x.is_nonpos())
        return known, False

    def is_incr(self, idx: int) -> bool:
        """Return whether f is known to be non-decreasing in x."""
        known = idx == 0 and self._directed
        program = self._held.compiled.program
        return known and (increasing(program, x_nonneg=self.args[0].is_nonneg()) or self._covered(1))

    def is_decr(self, idx: int) -> bool:
        """Return whether f is known to be non-increasing in x."""
        known = idx == 0 and self._directed
        program = self._held.compiled.program
        return known and (decreasing(program, x_nonpos=self.args[0].is_nonpos()) or self._covered(-1))

    def _covered(self, way: int) -> bool:
        return not self._held.moved and covered(self._held.compiled, way)

    @property
    def _directed(self) -> bool:
        """Whether the context leaves alone the arrays that decide about a direction."""
        moved = self._held.moved
        cones = self._held.compiled.program.cones
        return not moved or ("d" not in moved and not cones.second_order and not cones.exponential)

    def numeric(self, values: list[Any]) -> Any:
        """Return the network's own value."""
        return np.asarray(self._at(values).net(np.asarray(values[0], dtype=np.float64)[None])[0])

    def _grad(self, values: list[Any]) -> list[Any]:
        """Return d - B'y in x, y being the closed-form dual point; the pieces have no variables."""
        compiled = self._at(values)
        y = compiled.witness(np.asarray(values[0], dtype=np.float64)[None]).y[0]
        slope: Array = compiled.program.d - compiled.program.B.T @ y
        return [sparse.csc_array(slope[:, None]), *(sparse.csc_array((arg.size, 1)) for arg in self.args[1:])]

    def _at(self, values: list[Any]) -> Compiled:
        """Return the network with the pieces among these values of the arguments; the last one is kept."""
        held = self._held
        if not held.moved:
            return held.compiled
        moved = {
            name: np.asarray(value, dtype=np.float64).reshape(-1)
            for name, value in zip(held.moved, values[len(values) - len(held.moved) :], strict=True)
        }
        key = b"".join(piece.tobytes() for piece in moved.values())
        if self._last is None or self._last[0] != key:
            self._last = key, with_pieces(held.compiled, {**pieces_of(held.compiled.program), **moved})
        return self._last[1]

    def cone_form(self, args: list[Any]) -> tuple[cp.Expression, list[cp.Constraint]]:
        """Return the affine expression and the constraints that CVXPY puts in place of the atom."""
        held = self._held
        program = held.compiled.program
        pieces: dict[Piece, Any] = {**pieces_of(program)}
        pieces.update(zip(held.moved, args[len(args) - len(held.moved) :], strict=True))
        return canonicalise(program, args[0], pieces)


@final
class LinearCost(NetworkCost):
    """f of a linear program."""


@final
class SecondOrderCost(NetworkCost):
    """f of a program with second-order cones."""


@final
class ExponentialCost(NetworkCost):
    """f of a program with exponential cones."""


@final
class MixedCost(NetworkCost):
    """f of a program with cones of both kinds."""


# by whether there are second-order cones, and whether there are exponential ones
TYPES = {
    (False, False): LinearCost,
    (True, False): SecondOrderCost,
    (False, True): ExponentialCost,
    (True, True): MixedCost,
}


def network_cost(x: Any, *rest: Any) -> NetworkCost:
    """Return the atom of the type that its cones have; the arguments are those of `NetworkCost`."""
    cones = rest[-1].compiled.program.cones
    return TYPES[any(size > 1 for size in cones.second_order), cones.exponential > 0](x, *rest)


def _canonicalise(expr: Any, args: list[Any], solver_context: Any = None) -> Any:
    """Return the cone form of an atom; CVXPY looks this function up by the atom's exact type."""
    return expr.cone_form(args)


for (second_order, exponential), atom in TYPES.items():
    CANON_METHODS.setdefault(atom, _canonicalise)
    for atoms in [*([SOC_ATOMS] if second_order else []), *([EXP_ATOMS] if exponential else [])]:
        if atom not in atoms:
            atoms.append(atom)


def canonicalise(program: ValueProgram, x: Any, pieces: dict[Piece, Any]) -> tuple[cp.Expression, list[cp.Constraint]]:
    """Return q'v + d'x + r and the constraints that tie v to x.

    One constraint for the equalities, one for the inequalities, one `cp.SOC` for all cones of the same size, and one
    `cp.ExpCone` for all exponential cones.

    Args:
        program: its A, B and K; whatever stands in its vectors is not read.
        x: an affine expression of shape `(n,)`.
        pieces: b, q, d and r as arrays, or as CVXPY expressions without variables where the context moves them.
    """
    constraints: list[cp.Constraint] = []
    if x.parameters() and isinstance(pieces["d"], cp.Expression):
        copied = cp.Variable(x.shape)  # d'x would be a product of two Parameters, which DPP does not know
        constraints.append(copied == x)
        x = copied
    v = cp.Variable(program.A.shape[1]) if program.A.shape[1] else None
    A, B, cones = sparse.csr_array(program.A), program.B, program.cones

    def slack(rows: Any) -> Any:
        """Return s = b + B x - A v at some rows; a part without entries is left out."""
        s = pieces["b"][rows]
        s = s if isinstance(s, cp.Expression) else cp.Constant(s)
        if B[rows].nnz:
            s = s + B[rows] @ x
        if v is not None and A[rows].nnz:
            s = s - A[rows] @ v
        return s

    if cones.zero:
        constraints.append(slack(np.arange(cones.zero)) == 0)
    sizes = np.asarray(cones.second_order, dtype=np.int64)
    half_lines = np.concatenate([np.arange(cones.zero, cones.zero + cones.nonnegative), cones.heads[sizes == 1]])
    if len(half_lines):
        constraints.append(slack(half_lines) >= 0)
    for size in np.unique(sizes[sizes > 1]):
        heads: IntArray = cones.heads[sizes == size]
        body = (heads[:, None] + np.arange(1, size)).reshape(-1)
        columns = reshape(slack(body), (int(size) - 1, len(heads)), order="F")
        constraints.append(cp.SOC(slack(heads), columns))
    if cones.exponential:
        places = np.arange(cones.exponential_start, cones.rows)
        constraints.append(cp.ExpCone(*(slack(places[entry::3]) for entry in range(3))))
    cost = _product(pieces["d"], x) + pieces["r"]
    if v is not None:
        cost = cost + _product(pieces["q"], v)
    return reshape(cost, (), order="F"), constraints


def _product(vector: Any, variable: Any) -> Any:
    """Return vector'variable, of shape `(1,)`."""
    if isinstance(vector, cp.Expression):
        return reshape(vector, (1, vector.size), order="F") @ variable
    # a sparse row: where the variable is unbounded a dense row with zeros makes CVXPY's bounds 0 * inf
    return sparse.csr_array(vector[None, :]) @ variable
