"""The trusted core, asked about a compiled network with its own witness."""

import numpy as np

from socicnn._compile import Compiled
from verify._core.checker import Checked, Checker
from verify._proof.scale import data_scale


def check(compiled: Compiled, x: np.ndarray, program=None, forward=None, **settings) -> Checked:
    witness = compiled.witness(x)
    forward = compiled.net(x) if forward is None else forward
    scale = data_scale(compiled.net, x)
    return Checker(program or compiled.program, **settings)(x, witness.v, witness.y, forward, witness.k, scale=scale)
