"""Conic programs: their arrays, their solvers, their files.

ValueProgram, ConicProgram    the value function of a network; an instance of it, `at(x)` or `free(rows)`
Cones, Rows, Block, Lifts     what they are made of
Solver, SOLVERS, make         solvers by name; Solution, what they return
export                        files
"""

from socicnn._faces import face

__all__ = face(__name__)
