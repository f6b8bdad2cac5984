"""The trusted core, asked about a compiled network with its own witness."""

import numpy as np

from socicnn._compile import Compiled
from verify._core.checker import Checked, Checker
from verify._proof.network import Prover


def check(compiled: Compiled, x: np.ndarray, program=None, forward=None, **settings) -> Checked:
    witness = compiled.witness(x)
    forward = compiled.net(x) if forward is None else forward
    scale = Prover(compiled.net).scale(x)
    return Checker(program or compiled.program, **settings)(x, witness.v, witness.y, forward, witness.k, scale=scale)
