"""The value of a network as one atom of CVXPY: convex in x, with value, subgradient, sign, direction and cone form."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any, Self, final

import cvxpy as cp
import numpy as np
from cvxpy.atoms.atom import Atom
from cvxpy.reductions.dcp2cone.canonicalizers import CANON_METHODS
from scipy import sparse

from socicnn._arrays import Array
from socicnn._compile import Compiled, Piece, pieces_of, with_pieces
from socicnn._cvxpy_atom.canonical import canonicalise
from socicnn._cvxpy_atom.monotone import covered, decreasing, increasing, never_negative


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


@final
class NetworkCost(Atom):
    """f(x, theta) as a convex expression without shape.

    Args:
        x: expression of shape `(n,)`.
        *rest: the moved pieces, then, if given, what they are computed from; the last argument is the network.
    """

    def __init__(self, x: Any, *rest: Any) -> None:
        *moved, self._held = rest
        self._last: tuple[bytes, Compiled] | None = None
        super().__init__(x, *moved)

    def get_data(self) -> list[Any]:
        """Return what makes the same atom from its arguments."""
        return [self._held]

    def name(self) -> str:
        """Return `network(x)`, or `network(x, theta)`."""
        shown = [self.args[0], *self.args[1 + len(self._held.moved) :]]
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
            for name, value in zip(held.moved, values[1:], strict=False)
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
        pieces.update(zip(held.moved, args[1:], strict=False))
        return canonicalise(program, args[0], pieces)


def _canonicalise(expr: Any, args: list[Any], solver_context: Any = None) -> Any:
    """Return the cone form of an atom; CVXPY looks this function up by the atom's exact type."""
    return expr.cone_form(args)


CANON_METHODS.setdefault(NetworkCost, _canonicalise)
