"""The table of decisions beside prepared solvers, in its tiny preset: all certified, the peers right."""

from benchmarks import decision_table, raw_peers
from decision import Simplex
from socicnn._compile import compile_net
from tests.support.softplus import softplus_net
from tests.support.stacks import random_stack


def test_the_tiny_table_has_every_row_certified() -> None:
    rows = decision_table.main(["--preset", "tiny", "--repeat", "1"])
    assert [(row["surrogate"], row["batch"]) for row in rows] == [
        ("soc-partial", 1),
        ("soc-partial", 6),
        ("relu-joint", 2),
    ]
    for row in rows:
        certified, _, count = row["certified"].partition(" of ")
        assert certified == count == str(row["batch"])
        assert row["worst relative gap"] <= 1e-6
        assert row["Clarabel ms"] > 0 < row["ours ms"]


def test_the_peers_solve_the_same_program() -> None:
    net = random_stack(0, widths=(4,))
    program = compile_net(net).program[0].free(Simplex(5).rows())
    linear = compile_net(random_stack(0, widths=(4,)).__class__(net.layers, net.output)).program[0]
    smooth = compile_net(softplus_net(0)).program.free(Simplex(4).rows())  # ECOS has entries in another order
    for one in (program, linear.free(Simplex(5).rows()), smooth):
        found = {name: solve(one.b, one.c) for name, solve in raw_peers.solvers(one).items()}
        assert "Clarabel" in found
        for name, v in found.items():
            assert abs(one.c @ v - one.c @ found["Clarabel"]) <= 1e-4, name
