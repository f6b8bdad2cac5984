"""Are the provers ever wrong? Their brackets against exact rationals, at points of networks made to break them.

python -m benchmarks.soundness_proofs [--count 100000] [--seed 0]

Weights over 600 orders of magnitude, denormal numbers, -0, cancellation to nothing, planted kinks, float32 weights,
sparse matrices that store an entry in parts, up to 20 layers. The value of a network of rational weights at a rational
point is a rational, but for the square roots of its norms, which are enclosed to 400 bits (python-flint's fmpq).
"""

from __future__ import annotations

import argparse
import math
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import flint
import numpy as np
from scipy import sparse

from socicnn._arrays import Array
from socicnn._compile import compile_net
from socicnn.frozen import FrozenNet, Layer, Norm, Output, Quadratic, Squares
from verify._proof.balls import BallProver
from verify._proof.duals import lower_bound
from verify._proof.network import Prover
from verify._proof.program import ProgramProver

POINTS = 40
BITS = 400
REGIMES = ("unit", "any power", "one power", "twelve digits", "integers", "denormal", "float32", "large", "tiny")


@dataclass
class Tally:
    """What was seen.

    Args:
        violations: ends that are on the wrong side of the exact value.
        points: points at which every prover was asked.
        networks: networks they belong to.
        proven: name of a prover -> points at which its bracket is finite.
        worst: descriptions of the violations.
    """

    violations: int = 0
    points: int = 0
    networks: int = 0
    proven: Counter[str] = field(default_factory=Counter)
    worst: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        finite = ", ".join(f"{name} {count:,}" for name, count in sorted(self.proven.items()))
        head = f"provers against exact rationals: {self.violations} of {self.points:,} points violated"
        return "\n".join([head, f"{self.networks:,} networks; finite brackets: {finite}", *self.worst])


def rational(value: Any) -> Any:
    """Return a float64 number as a fraction, exactly."""
    return flint.fmpq(*float(value).as_integer_ratio())


def roots(value: Any) -> tuple[Any, Any]:
    """Return fractions below and above the square root of a fraction, closer than 2^-400 of it."""
    if value == 0:
        return value, value
    p, q = int(value.p), int(value.q)
    shift = max(0, 2 * BITS - p.bit_length() + q.bit_length())
    shift += shift % 2
    low = math.isqrt((p << shift) // q)
    return flint.fmpq(low, 1 << (shift // 2)), flint.fmpq(low + 1, 1 << (shift // 2))


class Exact:
    """A network in rational arithmetic: the formula, number by number.

    Args:
        net: the network, of one context.
    """

    def __init__(self, net: FrozenNet) -> None:
        self._net = net
        self._layers = [
            (_rows(layer.W), _rows(layer.U), _numbers(layer.b[0]), self._squares(layer)) for layer in net.layers
        ]
        self._output = _numbers(net.output.w[0]), _numbers(net.output.v[0]), rational(net.output.c[0])
        self._quadratics = [(rational(quad.beta[0]), _rows(quad.A), _numbers(quad.e[0])) for quad in net.quadratics]
        self._norms = [(rational(norm.gamma[0]), _rows(norm.C), _numbers(norm.d[0]), norm.group) for norm in net.norms]

    @staticmethod
    def _squares(layer: Layer) -> Any:
        inside = layer.squares
        return None if not layer.inner else (_numbers(inside.rho), _rows(inside.F), _numbers(inside.g[0]), inside.rows)

    def __call__(self, point: Array) -> tuple[Any, Any]:
        """Return fractions below and above the value at one point; they differ by square roots alone."""
        x = _numbers(point)
        z: list[Any] = []
        for W, U, b, inside in self._layers:
            a = _sums(_times(W, z), _sums(_times(U, x), b))
            if inside is not None:
                rho, F, g, rows = inside
                p = _sums(_times(F, x), g)
                a = [one + rho[i] * _square(p[i * rows : (i + 1) * rows]) for i, one in enumerate(a)]
            z = [max(one, flint.fmpq(0)) for one in a]
        w, v, c = self._output
        total = c + _dot(v, x) + _dot(w, z)
        for beta, A, e in self._quadratics:
            total += beta * _square(_sums(_times(A, x), e))
        low = high = total
        for gamma, C, d, group in self._norms:
            p = _sums(_times(C, x), d)
            for start in range(0, len(p), group):
                below, above = roots(_square(p[start : start + group]))
                low, high = low + gamma * below, high + gamma * above
        return low, high


def brackets_against_rationals(count: int, seed: int = 0) -> Tally:
    """Count the ends of brackets that are on the wrong side of the exact value.

    Every prover is asked: float64, balls, the program's own, and lower bounds from any dual vector.

    Args:
        count: points at least, 40 per network.
        seed: of the networks.
    """
    found, number = Tally(), 0
    while found.points < count:
        rng = np.random.default_rng([seed, number])
        number += 1
        with np.errstate(all="ignore"):
            net, x = network(rng)
            if net is None:
                continue
            brackets = dict(_brackets(net, x, rng))
        exact = Exact(net)
        found.networks += 1
        for i, point in enumerate(x):
            low, high = exact(point)
            found.points += 1
            for name, (lo, hi) in brackets.items():
                found.proven[name] += bool(np.isfinite(lo[i]) or np.isfinite(hi[i]))
                if _above(lo[i], high) or _above(-hi[i], -low):
                    found.violations += 1
                    found.worst.append(f"{name}: network {number - 1} of seed {seed}, point {i}: [{lo[i]}, {hi[i]}]")
    return found


def _brackets(net: FrozenNet, x: Array, rng: np.random.Generator) -> Iterator[tuple[str, tuple[Array, Array]]]:
    compiled = compile_net(net)
    program = compiled.program
    provers = (
        ("float64", Prover(net)),
        ("balls", BallProver(net)),
        ("program", ProgramProver(_in_parts(program, rng))),
    )
    for name, prover in provers:
        bracket = prover(x)
        yield name, (bracket.lo, bracket.hi)
    y = rng.normal(size=(len(x), program.A.shape[0])) * 10.0 ** rng.uniform(-10, 200)
    if rng.random() < 0.5:  # the honest one, a little off
        y = compiled.witness(x).y * (1 + 1e-3 * rng.normal(size=y.shape))
    y = np.nan_to_num(y, nan=0.0, posinf=1e300, neginf=-1e300)
    yield "any dual", (lower_bound(net, x, y), np.full(len(x), np.inf))


def _in_parts(program: Any, rng: np.random.Generator) -> Any:
    """Return the program, half the time with every entry of A stored as two halves."""
    A = program.A
    if rng.random() < 0.5 or not A.nnz or np.abs(A.data).min() < 1e-300:
        return program
    halves = np.repeat(A.data / 2, 2), np.repeat(A.indices, 2), 2 * A.indptr
    return replace(program, A=sparse.csc_array(halves, shape=A.shape))


def network(rng: np.random.Generator) -> tuple[FrozenNet | None, Array]:
    """Return a network that is hard to bracket and its points; None where its value is no number."""
    one = _regime(rng) if rng.random() < 0.5 else None
    draw = lambda *shape: _drawn(rng, one or _regime(rng), shape)  # noqa: E731 (local shorthand)
    n = int(rng.integers(1, 6)) if rng.random() < 0.95 else int(rng.integers(20, 60))
    depth = int(rng.integers(0, 5)) if rng.random() < 0.93 else int(rng.integers(8, 21))
    layers: list[Layer] = []
    for number in range(depth):
        h = int(rng.integers(1, 6))
        W = _stored(rng, np.abs(draw(h, layers[-1].width))) if layers else None
        U = None if number and rng.random() < 0.15 else _stored(rng, draw(h, n))
        inside = None
        if rng.random() < 0.15:
            rows = int(rng.integers(1, 4))
            inside = Squares(np.abs(draw(h)), _stored(rng, draw(h * rows, n)), draw(h * rows))
        layers.append(Layer(W, U, draw(h), inside))
    x = np.stack([draw(n) for _ in range(POINTS)])
    x[0] = np.round(x[0])
    if layers and not layers[0].inner and rng.random() < 0.3:
        U = np.round(np.clip(rng.normal(size=(layers[0].width, n)) * 4, -1e6, 1e6))
        x[1] = np.round(4 * rng.normal(size=n))
        layers[0] = Layer(None, U, -U @ x[1])  # every unit at its kink
    quadratics = [_quadratic(rng, draw, n) for _ in range(rng.integers(0, 3))]
    norms = [_norm(rng, draw, n) for _ in range(rng.integers(0, 3))]
    width = layers[-1].width if layers else 0
    net = FrozenNet(layers, Output(np.abs(draw(width)), draw(n), draw()), quadratics, norms)
    value = net(x[:1])[0]
    if rng.random() < 0.3 and np.isfinite(value):  # cancelled to nothing
        net = replace(net, output=replace(net.output, c=net.output.c - value))
    return (net if np.isfinite(net.output.c).all() else None), x


def _quadratic(rng: np.random.Generator, draw: Any, n: int) -> Quadratic:
    rows = int(rng.integers(1, 5))
    return Quadratic(float(np.abs(draw())), _stored(rng, draw(rows, n)), draw(rows))


def _norm(rng: np.random.Generator, draw: Any, n: int) -> Norm:
    group, count = int(rng.integers(1, 4)), int(rng.integers(1, 3))
    C = _stored(rng, draw(group * count, n))
    return Norm(float(np.abs(draw())), C, draw(group * count), group if rng.random() < 0.5 else None)


def _regime(rng: np.random.Generator) -> str:
    return str(rng.choice(REGIMES, p=[0.2, 0.12, 0.12, 0.12, 0.14, 0.08, 0.06, 0.08, 0.08]))


def _drawn(rng: np.random.Generator, regime: str, shape: tuple[int, ...]) -> Array:
    """Return random numbers of a regime, some of them 0 or -0."""
    a = np.asarray(rng.normal(size=shape))
    a = {
        "unit": lambda: a,
        "any power": lambda: a * 10.0 ** rng.uniform(-300, 300, shape),
        "one power": lambda: a * 10.0 ** rng.uniform(-150, 150),
        "twelve digits": lambda: a * 10.0 ** rng.uniform(-12, 12, shape),
        "integers": lambda: np.round(4 * a),
        "denormal": lambda: a * rng.choice([5e-324, 1e-310, 1e-308, 1.0], shape),
        "float32": lambda: a.astype(np.float32).astype(np.float64),
        "large": lambda: a * 1e150,
        "tiny": lambda: a * 1e-160,
    }[regime]()
    if rng.random() < 0.3:
        a = np.where(rng.random(shape) < 0.4, rng.choice([0.0, -0.0]), a)
    return np.asarray(a, dtype=np.float64)


def _stored(rng: np.random.Generator, matrix: Array) -> Any:
    """Return the matrix, now and then sparse, its rows in any order."""
    if rng.random() < 0.7:
        return matrix
    found = sparse.csr_array(matrix)
    for i in range(found.shape[0]):
        part = slice(found.indptr[i], found.indptr[i + 1])
        found.indices[part], found.data[part] = found.indices[part][::-1].copy(), found.data[part][::-1].copy()
    found.has_sorted_indices = False
    return found


def _above(bound: float, value: Any) -> bool:
    """Tell whether a lower bound is no bound: above the value, infinite upwards, or not a number."""
    if bound == -np.inf:
        return False
    return not np.isfinite(bound) or bool(rational(bound) > value)


def _numbers(values: Any) -> list[Any]:
    return [rational(value) for value in np.asarray(values, dtype=np.float64).reshape(-1)]


def _rows(matrix: Any) -> list[list[tuple[int, Any]]] | None:
    """Return each row's columns and fractions."""
    if matrix is None:
        return None
    dense = matrix.toarray() if sparse.issparse(matrix) else np.asarray(matrix)
    return [[(j, rational(value)) for j, value in enumerate(row) if value != 0] for row in dense]


def _times(matrix: Any, x: list[Any]) -> list[Any] | None:
    return None if matrix is None else [sum((value * x[j] for j, value in row), flint.fmpq(0)) for row in matrix]


def _sums(first: list[Any] | None, second: list[Any]) -> list[Any]:
    return second if first is None else [one + other for one, other in zip(first, second, strict=True)]


def _dot(first: list[Any], second: list[Any]) -> Any:
    return sum((one * other for one, other in zip(first, second, strict=True)), flint.fmpq(0))


def _square(p: list[Any]) -> Any:
    return sum((one * one for one in p), flint.fmpq(0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    began = time.perf_counter()
    found = brackets_against_rationals(given.count, given.seed)
    print(found)
    print(f"{time.perf_counter() - began:.0f} s")
    raise SystemExit(found.violations > 0)


if __name__ == "__main__":
    main()
