"""Affine images of columns of points, with what rounding can have changed in them, in NumPy or in torch."""

from __future__ import annotations

from typing import Any, NamedTuple

from socicnn._margins import TINY, relative_margin

Values = Any  # an array of NumPy or of torch
Linear = Any  # a matrix with `@`, `.T` and `abs`: of NumPy, SciPy or `decision._minimise.linear_map`


class Image(NamedTuple):
    """The rows y = M x + o of a term at points, and bounds of their rounding errors."""

    y: Values  # as float64 has it, shape `(rows in all, N)`
    size: Values  # |M| |x| + |o|
    margin: Values  # bound of the error of y


def image(matrix: Linear, absolute: Linear, offset: Values, x: Values, size: Values) -> Image:
    """Return M x + o at columns x, |x| = size; `absolute` is |M|."""
    y, S = matrix @ x + offset, absolute @ size + abs(offset)
    return Image(y, S, relative_margin(len(x) + 1) * S + TINY)
