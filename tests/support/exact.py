"""Exact rational arithmetic on networks: floats are dyadic, so sums and products of them are integers times 2^e."""

from fractions import Fraction
from math import isqrt

import numpy as np

from socicnn.frozen import FrozenNet


class Dyadic:
    """An array of integers times 2^exponent."""

    def __init__(self, integers: np.ndarray, exponent: int) -> None:
        self.integers, self.exponent = integers, exponent

    @classmethod
    def of(cls, values) -> "Dyadic":
        values = values.toarray() if hasattr(values, "toarray") else np.asarray(values, dtype=float)
        mantissa, exponent = np.frexp(values)
        least = int(exponent.min(initial=0)) - 53
        integers = (mantissa * 2.0**53).astype(np.int64).astype(object)
        shifts = (exponent.astype(np.int64) - 53 - least).astype(object)
        return cls(integers * 2**shifts if values.size else integers, least)

    def __add__(self, other: "Dyadic") -> "Dyadic":
        least = min(self.exponent, other.exponent)
        return Dyadic(
            self.integers * (1 << self.exponent - least) + other.integers * (1 << other.exponent - least), least
        )

    def __matmul__(self, other: "Dyadic") -> "Dyadic":
        return Dyadic(self.integers @ other.integers, self.exponent + other.exponent)

    def __mul__(self, other: "Dyadic") -> "Dyadic":
        return Dyadic(self.integers * other.integers, self.exponent + other.exponent)

    def sums(self, rows: int) -> "Dyadic":
        """The sums of consecutive runs of `rows` entries."""
        return Dyadic(self.integers.reshape(-1, rows).sum(axis=1), self.exponent)

    def relu(self) -> "Dyadic":
        return Dyadic(self.integers * (self.integers > 0), self.exponent)

    def fraction(self) -> Fraction:
        return int(self.integers) * Fraction(2) ** self.exponent


def root(value: Dyadic, bits: int = 400) -> tuple[Fraction, Fraction]:
    """Return rationals that enclose the square root; equal where it is rational."""
    shift = 2 * bits + value.exponent % 2
    integer, exponent = int(value.integers) << shift, value.exponent - shift
    lower = isqrt(integer)
    upper = lower + (lower * lower != integer)
    unit = Fraction(2) ** (exponent // 2)
    return lower * unit, upper * unit


def exact_value(net: FrozenNet, x: np.ndarray) -> tuple[Fraction, Fraction]:
    """Return rationals that enclose f(x), equal where no square root is irrational."""
    point = Dyadic.of(x)
    total = Dyadic.of(net.output.v[0]) @ point + Dyadic.of(net.output.c[0])
    z = None
    for layer in net.layers:
        a = Dyadic.of(layer.b[0])
        if layer.U.size:
            a = a + Dyadic.of(layer.U) @ point
        if z is not None:
            a = a + Dyadic.of(layer.W) @ z
        if layer.inner:
            p = Dyadic.of(layer.squares.F) @ point + Dyadic.of(layer.squares.g[0])
            a = a + Dyadic.of(layer.squares.rho) * (p * p).sums(layer.squares.rows)
        z = a.relu()
    if z is not None:
        total = total + Dyadic.of(net.output.w[0]) @ z
    for quad in net.quadratics:
        y = Dyadic.of(quad.A) @ point + Dyadic.of(quad.e[0])
        total = total + Dyadic.of(quad.beta[0]) * (y @ y)
    lower = upper = total.fraction()
    for norm in net.norms:
        y = Dyadic.of(norm.C) @ point + Dyadic.of(norm.d[0])
        gamma = Dyadic.of(norm.gamma[0]).fraction()
        size = norm.group
        for start in range(0, len(y.integers), size):
            group = Dyadic(y.integers[start : start + size], y.exponent)
            low, high = root(group @ group)
            lower, upper = lower + gamma * low, upper + gamma * high
    return lower, upper
