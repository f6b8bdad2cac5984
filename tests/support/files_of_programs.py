"""Programs to write to files, and what equal programs have in common."""

import numpy as np

from socicnn._compile import value_program
from socicnn.conic._program import ConicProgram
from tests.support.conic_cases import EXPONENTIAL, KNOWN
from tests.support.frozen_nets import NETS, random_net
from tests.support.programs_on_simplex import simplex

FOREIGN = """# a file of somebody else, with domains of variables, MAX and every cone
VER
3

OBJSENSE
MAX

VAR
7 4
L+ 1
QR 3
L- 1
F 2

# sums and bounds
CON
4 3
L- 1
L= 1
F 2

OBJACOORD
3
0 -1.0
1 -2.0
4 1.0

OBJBCOORD
10

ACOORD
4
0 0 -1.0
1 2 1.0
1 3 1.0
2 5 9.0

BCOORD
3
0 3.0
1 -2.0
3 5.0
"""


def instances() -> dict[str, ConicProgram]:
    """Instances of networks (x among the variables, and substituted), and programs made by hand."""
    programs = {}
    for kind, shape in NETS.items():
        program = value_program(random_net(1, **shape))
        n = program.in_features
        programs[f"{kind}_free"] = program.free(simplex(n))
        programs[f"{kind}_at"] = program.at(17.3 * np.ones(n))
    return programs | {
        name: (KNOWN | EXPONENTIAL)[name].program
        for name in ("distance_to_plane", "all_kinds_0", "cones_of_one_and_two", "mixed_0", "exponential_of_a_half")
    }


def same(first: ConicProgram, second: ConicProgram) -> None:
    assert first.A.shape == second.A.shape
    np.testing.assert_array_equal(first.A.toarray(), second.A.toarray())
    np.testing.assert_array_equal(first.b, second.b)
    np.testing.assert_array_equal(first.c, second.c)
    assert first.offset == second.offset
    assert first.cones == second.cones
    assert [b for b in first.columns if b.stop > b.start] == [b for b in second.columns if b.stop > b.start]
    assert [b for b in first.rows if b.stop > b.start] == [b for b in second.rows if b.stop > b.start]
