"""Witnesses moved to other scales k of the rotated cones: consistent, feasible, and with the same objectives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from socicnn._arrays import Array
from socicnn._compile import Witness
from socicnn.conic._program import ValueProgram


def at_scales(program: ValueProgram, witness: Witness, k: Array) -> Witness:
    """Return the witness at the scales k: t' = ||p||^2 / k and the heads of the multipliers beta (k +- ||p||^2 / k).

    Args:
        program: the program that the witness belongs to.
        witness: any witness with k > 0.
        k: the new scales, shape `(N, quadratics)`.
    """
    t, heads = program.lifts.columns, program.lifts.heads
    v, y = witness.v.copy(), witness.y.copy()
    with np.errstate(all="ignore"):
        beta = (y[:, heads] + y[:, heads + 1]) / (2 * witness.k)
        v[:, t] *= witness.k / k
        y[:, heads], y[:, heads + 1] = beta * (k + v[:, t]), beta * (k - v[:, t])
    return replace(witness, v=v, y=y, k=k)
