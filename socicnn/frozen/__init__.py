"""A network as float64 arrays: what a user writes by hand, what importers read and what the compiler takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from socicnn._faces import face

if TYPE_CHECKING:
    from socicnn.frozen._bundle import Parts as Parts
    from socicnn.frozen._net import FrozenNet as FrozenNet
    from socicnn.frozen._parts import Layer as Layer
    from socicnn.frozen._parts import Norm as Norm
    from socicnn.frozen._parts import Output as Output
    from socicnn.frozen._parts import Quadratic as Quadratic
    from socicnn.frozen._parts import Squares as Squares

__all__ = face(
    __name__,
    {
        "FrozenNet": "socicnn.frozen._net",
        "Layer": "socicnn.frozen._parts",
        "Norm": "socicnn.frozen._parts",
        "Output": "socicnn.frozen._parts",
        "Parts": "socicnn.frozen._bundle",
        "Quadratic": "socicnn.frozen._parts",
        "Squares": "socicnn.frozen._parts",
    },
)
