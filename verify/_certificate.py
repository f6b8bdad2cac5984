"""What `verify.certify` returns: a proof at each of many points, and the dual geometry that is read off it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, final

import numpy as np

from socicnn._arrays import Array, BoolArray, IntArray, as_float64, read_only
from socicnn._compile import Compiled, Witness
from socicnn._integers import as_integer
from socicnn._results import Result, Row
from socicnn.conic._program import ValueProgram
from socicnn.errors import ModelError, VerificationError
from socicnn.frozen import FrozenNet
from verify._claim_file import write
from verify._core.checker import Checker
from verify._core.claim import Claim
from verify._core.structure import differences, monotone
from verify._geometry.passes import Geometry
from verify._geometry.subdifferential import Subdifferential
from verify._proof.network import Prover
from verify._report import Check

Points: TypeAlias = int | slice | Sequence[int] | IntArray | BoolArray


@final
@dataclass(frozen=True, eq=False, repr=False)
class Certificate(Result):
    """A proof at each of N points that network = program there, by the four families of optimality conditions.

    Witnesses in closed form are not kept: they are recomputed when asked for.

    Args:
        net: the frozen network; with stacked contexts, context i belongs to point i.
        compiled: what was compiled from it, the source of the witnesses.
        program: the exported program that was checked.
        x: points, shape `(N, n)`; a read-only copy.
        forward: the network's value by its reference forward pass, shape `(N,)`.
        value: primal objective, shape `(N,)`.
        dual: dual objective, shape `(N,)`.
        residuals: name of a metric -> worst residual at each point, shape `(N,)`.
        checks: name -> its worst residual over the points, with its tolerance.
        passed: whether the certificate holds, at each point.
        lo: proven lower bounds, with `proof=True`; else None.
        hi: proven upper bounds, with `proof=True`; else None.
        tolerance: relative tolerance of the checks.
        chunk: points worked on at a time.
        seconds: time of the reference forward pass, and of witness and check.
        supplied: witness of the user; None if the closed-form witness was checked.
    """

    net: FrozenNet
    compiled: Compiled
    program: ValueProgram
    x: Array
    forward: Array
    value: Array
    dual: Array
    residuals: dict[str, Array]
    checks: dict[str, Check]
    passed: BoolArray
    lo: Array | None
    hi: Array | None
    tolerance: float
    chunk: int
    seconds: dict[str, float] = field(default_factory=dict)
    supplied: Witness | None = None

    def __post_init__(self) -> None:
        """Make the arrays read-only: a proof is not edited."""
        for array in (self.forward, self.value, self.dual, self.passed, self.lo, self.hi, *self.residuals.values()):
            if array is not None:
                read_only(array)

    @property
    def ok(self) -> bool:
        """Whether the certificate holds at every point."""
        return bool(self.passed.all())

    @property
    def gap(self) -> Array:
        """Primal minus dual objective, shape `(N,)`."""
        return self.value - self.dual

    @property
    def given(self) -> Witness | None:
        """Witness of the user; deprecated, use `supplied`."""
        warnings.warn("Certificate.given is now Certificate.supplied", DeprecationWarning, stacklevel=2)
        return self.supplied

    def raise_if_failed(self) -> None:
        """Raise if the certificate fails at some point.

        Raises:
            VerificationError: its sentence counts the points at which it holds, and names each check that fails.
        """
        if not self.ok:
            raise VerificationError(self.summary())

    def __len__(self) -> int:
        return len(self.x)

    @property
    def max_gap(self) -> float:
        """Largest |gap|; NaN if one is NaN."""
        return float(np.max(np.abs(self.gap)))

    def summary(self) -> str:
        """Return the verdict, the gap and what failed, in one line."""
        held, count = int(self.passed.sum()), len(self)
        head = f"network = program holds at {'all' if held == count else f'{held} of'} {count} points"
        notes = [f"|gap| at most {self.max_gap:.1e}", f"tolerance {self.tolerance:.0e} (1 + scale)"]
        if self.lo is not None and self.hi is not None:
            notes.append(f"proven hi - lo at most {(self.hi - self.lo).max():.1e}")
        failed = [f"{check.name} fails at point {check.where}" for check in self.checks.values() if check.ok is False]
        return "; ".join([head, *notes, *failed])

    def table(self) -> tuple[Row, list[Row]]:
        """Return the values and gaps, point by point."""
        rows: list[Row] = [
            (i, float(self.value[i]), f"{self.gap[i]:.1e}", "yes" if self.passed[i] else "NO") for i in range(len(self))
        ]
        return ("point", "value", "gap", "holds"), rows

    def witness(self, points: Points | None = None) -> Witness:
        """Return the witness that was checked; the closed form is computed again.

        Args:
            points: which points, by index, slice or mask; all if omitted.

        Raises:
            ModelError: there is no such point.
        """
        rows = slice(None) if points is None else points if isinstance(points, slice) else self._chosen(points)
        if self.supplied is not None:
            return Witness(self.supplied.v[rows], self.supplied.y[rows], self.supplied.k[rows])
        return self.compiled.part(rows).witness(self.x[rows])

    def cut(self) -> tuple[Array, Array]:
        """Return one affine minorant per point, to rounding: f(z) >= slope_i'z + offset_i for every z, equal at x_i.

        Returns:
            slope d - B'y, shape `(N, n)`, and offset r - b'y, shape `(N,)`.

        Raises:
            ModelError: the certificate does not hold at some point.
        """
        self._holding(np.arange(len(self)), "gives a cut")
        slope, offset = np.empty((len(self), self.x.shape[1])), np.empty(len(self))
        checker = Checker(self.program, self.tolerance)
        for rows in slices(len(self), self.chunk):
            own, contexts = self.witness(rows), rows if self.net.stacked else slice(None)
            checked = checker(
                self.x[rows],
                own.v,
                own.y,
                self.forward[rows],
                own.k,
                scale=np.abs(self.forward[rows]),
                contexts=contexts,
            )
            slope[rows], offset[rows] = checked.slope, checked.offset
        return slope, offset

    def gradient(self) -> Array:
        """Return the gradient, shape `(N, n)`; at a kink the subgradient with lambda = 0 and u = 0 there.

        Raises:
            ModelError: the certificate does not hold at some point.
        """
        return self.cut()[0]

    def kinks(self) -> IntArray:
        """Return how many units are at a = 0 and norms at zero, shape `(N,)`; where 0, f is smooth nearby."""
        return np.concatenate([geometry.kinks for _, geometry in self._geometries(1)])

    def directional_derivative(self, d: Any) -> Array:
        """Return f'(x; d), the one-sided derivative, by one forward pass of directions.

        Args:
            d: one direction `(n,)`, one per point `(N, n)`, or several per point `(N, K, n)`.

        Returns:
            Shape `(N,)`, or `(N, K)`.
        """
        return self._along(d, lambda geometry, part: geometry.directional(part), ())

    def subdifferential(self, point: int = 0) -> Subdifferential:
        """Return the set of subgradients at one of the points, known by its support function.

        Args:
            point: index of the point.
        """
        point = as_integer("point", point, None)
        rows = slice(point, point + 1) if point >= 0 else slice(len(self) + point, len(self) + point + 1)
        if not 0 <= rows.start < len(self):
            raise ModelError(f"there is no point {point}; this certificate has {len(self)}")
        return Subdifferential(Geometry(self.net.take(rows), self.x[rows]), self.x.shape[1])

    def hessian(self) -> Array:
        """Return the Hessian of the branches, of terms inside layers and of softplus units, shape `(N, n, n)`.

        Where there is no kink it is the Hessian of f, whose ReLU part is linear there; a norm at zero is left out.
        """
        n = self.x.shape[1]
        return self.hessian_product(np.broadcast_to(np.eye(n), (len(self), n, n)))

    def hessian_product(self, d: Any) -> Array:
        """Return that Hessian times directions, without forming it.

        Args:
            d: one direction `(n,)`, one per point `(N, n)`, or several per point `(N, K, n)`.

        Returns:
            Shape `(N, n)`, or `(N, K, n)`.
        """
        return self._along(d, lambda geometry, part: geometry.hessian_product(part), (self.x.shape[1],))

    def _geometries(self, directions: int) -> Iterator[tuple[slice, Geometry]]:
        for rows in slices(len(self), max(1, self.chunk // directions)):
            yield rows, Geometry(self.net.take(rows), self.x[rows])

    def _along(self, d: Any, of: Callable[[Geometry, Array], Array], tail: tuple[int, ...]) -> Array:
        """Evaluate `of` with directions of any accepted shape."""
        N, n = self.x.shape
        directions = as_float64(d, "directions")
        if directions.shape not in ((n,), (N, n)) and (directions.ndim != 3 or directions.shape[::2] != (N, n)):
            raise ModelError(
                f"directions must have shape ({n},), ({N}, {n}) or ({N}, K, {n}); received {directions.shape}"
            )
        if not np.isfinite(directions).all():
            raise ModelError("directions have non-finite entries; remove or replace them")
        several = directions.ndim == 3
        K = directions.shape[1] if several else 1
        full = directions if several else np.broadcast_to(directions, (N, n))[:, None, :]
        along = np.empty((N, K, *tail))
        for rows, geometry in self._geometries(max(K, 1)):
            along[rows] = of(geometry, full[rows])
        return along if several else along[:, 0]

    def _chosen(self, points: Points) -> IntArray:
        """Return the indices of points; one integer is a list of one."""
        index = points if isinstance(points, slice) else np.atleast_1d(np.asarray(points))
        nothing = not isinstance(index, slice) and not index.size
        try:
            chosen = np.arange(len(self))[[] if nothing else index]
        except IndexError:
            chosen = np.zeros((0, 0), dtype=np.int64)
        if chosen.ndim != 1:
            raise ModelError(
                f"points must be indices from 0 to {len(self) - 1}, a slice or a mask of {len(self)}; "
                f"received {points!r}"
            )
        return chosen

    def _holding(self, rows: IntArray, what: str) -> None:
        """Refuse points at which the certificate does not hold."""
        failed = rows[~self.passed[rows]]
        if len(failed):
            raise ModelError(f"the certificate does not hold at point {int(failed[0])}; only what holds {what}")

    def save(self, path: str | os.PathLike[str], points: Points | None = None) -> None:
        """Write the claim to a file that anybody can check: `python -m verify.check FILE`.

        It holds the network's arrays, the program with the names of its rows and columns, the points, the claimed
        values, both witnesses and a proven bracket, widened by its own width so that a machine that sums in another
        order proves it too.

        Args:
            path: where to write, usually `.npz`.
            points: which points, by index, slice or mask; all if omitted.

        Raises:
            ModelError: there is no such point, the certificate does not hold, the program is not the network's row by
                row, or the file would hold more than 2^28 numbers.
        """
        rows = np.arange(len(self)) if points is None else self._chosen(points)
        if not len(rows):
            raise ModelError("there are no points to save; name at least one")
        self._holding(rows, "can be claimed")
        if self.program is not self.compiled.program:
            wrong = [*monotone(self.program), *differences(self.program, self.net)]
            if wrong:
                raise ModelError(f"the program that was given cannot be claimed to be the network's: {wrong[0]}")
        numbers = len(rows) * (sum(self.program.A.shape) + self.program.in_features)
        if numbers > 2**28:
            raise ModelError(
                f"the witnesses of {len(rows)} points are {numbers} numbers; save fewer: save(path, points)"
            )
        stacked = self.net.stacked
        net, program = (self.net[rows], self.program[rows]) if stacked else (self.net, self.program)
        x, own = self.x[rows], self.witness(rows)
        parts = slices(len(rows), self.chunk)
        brackets = [Prover(net[part] if stacked else net)(x[part]) for part in parts]
        lo, hi = np.concatenate([b.lo for b in brackets]), np.concatenate([b.hi for b in brackets])
        with np.errstate(invalid="ignore"):
            lo, hi = np.nan_to_num(lo - (hi - lo), nan=-np.inf), np.nan_to_num(hi + (hi - lo), nan=np.inf)
        write(path, Claim(net, program, x, self.forward[rows], own.v, own.y, own.k, lo, hi))


def slices(count: int, chunk: int, *, progress: bool = False) -> Iterator[slice]:
    """Yield consecutive slices of at most `chunk` points."""
    parts = [slice(start, min(start + chunk, count)) for start in range(0, count, chunk)]
    if not progress:
        yield from parts
        return
    from tqdm import tqdm

    with tqdm(total=count, unit="points", desc="certify") as bar:
        for rows in parts:
            yield rows
            bar.update(rows.stop - rows.start)
