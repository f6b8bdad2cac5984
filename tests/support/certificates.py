"""The trusted core, asked about a compiled network with its own witness."""

import numpy as np

from socicnn.compile import Compiled
from verify.core.checker import Checked, Checker


def check(compiled: Compiled, x: np.ndarray, program=None, forward=None, **settings) -> Checked:
    witness = compiled.witness(x)
    forward = compiled.net(x) if forward is None else forward
    return Checker(program or compiled.program, **settings)(x, witness.v, witness.y, forward, witness.k)
