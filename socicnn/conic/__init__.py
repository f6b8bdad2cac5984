"""Conic programs: their arrays, their solvers, their files.

    ValueProgram, ConicProgram    the value function of a network; an instance of it, `at(x)` or `free(rows)`
    Cones, Rows, Block, Lifts     what they are made of
    Solver, SOLVERS, make         solvers by name; Solution, what they return

Each name is imported when it is first used. Files: `socicnn.conic.export`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from socicnn._faces import face

if TYPE_CHECKING:
    from socicnn.conic._blocks import Block as Block
    from socicnn.conic._blocks import Lifts as Lifts
    from socicnn.conic._cones import Cones as Cones
    from socicnn.conic._program import ConicProgram as ConicProgram
    from socicnn.conic._program import ValueProgram as ValueProgram
    from socicnn.conic._rows import Rows as Rows
    from socicnn.conic._solution import Solution as Solution
    from socicnn.conic.solvers import SOLVERS as SOLVERS
    from socicnn.conic.solvers import Solver as Solver
    from socicnn.conic.solvers import make as make

__all__ = face(
    __name__,
    {
        "Block": "socicnn.conic._blocks",
        "ConicProgram": "socicnn.conic._program",
        "Cones": "socicnn.conic._cones",
        "Lifts": "socicnn.conic._blocks",
        "Rows": "socicnn.conic._rows",
        "SOLVERS": "socicnn.conic.solvers",
        "Solution": "socicnn.conic._solution",
        "Solver": "socicnn.conic.solvers",
        "ValueProgram": "socicnn.conic._program",
        "make": "socicnn.conic.solvers",
    },
)
