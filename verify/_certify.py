"""Certificates for many points at once: primal from the forward pass, dual from the backward pass, no solver."""

from __future__ import annotations

from typing import Any

from socicnn._compile import Freezable, Witness
from socicnn.conic._program import ValueProgram
from verify._certificate import Certificate
from verify._certifier import PreparedNet
from verify._certifier import ProofName as ProofName
from verify._instance import Instance


def certify(
    model_or_net: Freezable,
    x: Any,
    context: Any = None,
    *,
    proof: bool | ProofName = False,
    tolerance: float | None = None,
    program: ValueProgram | None = None,
    witness: Witness | None = None,
    chunk: int | None = None,
    progress: bool = False,
) -> Certificate:
    """Certify network = program at many points, without a solver.

    To certify several batches of points of one network, prepare it once: `verify.Certifier`.

    Args:
        model_or_net: a network, or a FrozenNet.
        x: points of shape `(*batch, n)` or `(*batch, *input_shape)`, torch or NumPy.
        context: one context, or one per point.
        proof: also bracket the value in real arithmetic: True or "float64" by the rounding of every operation,
            "balls" by ball arithmetic (extra `[proof]`), narrower and slower. A given witness is not used for it.
        tolerance: relative tolerance of the checks; defaults to 1e-12.
        program: an exported program to check in place of the one that is compiled from the network. Where its arrays
            are not the network's, entry by entry, its value is also bracketed and held to the network's bracket.
        witness: primal and dual points to check in place of the closed form; the scales k must be next to ||p||, as
            those of `Compiled.witness` are.
        chunk: points to work on at a time; chosen from the program's size if omitted.
        progress: show a progress bar.

    Raises:
        ModelError: shapes that do not fit, or the network cannot be exported.

    >>> import numpy as np
    >>> from socicnn.frozen import FrozenNet, Layer, Output
    >>> net = FrozenNet([Layer(None, [[1.0], [-1.0]], [0.0, 0.0])], Output([1.0, 1.0], [0.0]))
    >>> certificate = certify(net, np.linspace(-2, 2, 5)[:, None])
    >>> certificate.ok, certificate.forward
    (True, array([2., 1., 0., 1., 2.]))
    """
    instance = Instance.of(model_or_net, x, context)
    prepared = PreparedNet(instance.net, 1e-12 if tolerance is None else tolerance, proof=proof, program=program)
    return prepared(instance.x, witness=witness, chunk=chunk, progress=progress)
