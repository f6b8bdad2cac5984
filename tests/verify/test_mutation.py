"""The mutation table: every array, every part of a witness, and the compiler, on every architecture."""

import numpy as np

from socicnn.compile import compile_net
from socicnn.frozen import FrozenNet
from tests.support.cases import CASES
from tests.support.frozen_nets import random_net
from verify.mutation import Table, compiler_mutants, program_mutants, witness_mutants

POINTS = 200


def networks() -> list[tuple[str, FrozenNet]]:
    """One network of every architecture that exports, at one context."""
    found = []
    for case in CASES.values():
        if case.exports:
            model = case.model()
            theta = case.contexts(model, 1)
            found.append((case.name, model.freeze(None if theta is None else theta[0])))
    return found


def test_the_table() -> None:
    """No mutant is accepted where it matters, no honest program rejected anywhere."""
    table = Table()
    for seed, (_, net) in enumerate(networks()):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(POINTS, net.in_features))
        compiled = compile_net(net)
        table.add(net, x, program_mutants(compiled, rng, entries=1))
        table.add(net, x, compiler_mutants(net, x))
    print(table)
    assert table.honest_rejected == 0
    assert table.accepted == []
    total = {key: row for key, row in table.rows.items()}
    assert all(row.rejected + row.by_bracket == row.matter for row in total.values())
    assert sum(row.matter for row in total.values()) > 0.5 * sum(row.points for row in total.values())
    assert {key[0] for key in total} == {"program", "compiler"}
    kinds = {key[1] for key in total}
    assert {"entry", "sign", "row swap", "float32 rounding", "transposed", "dropped bias", "radius 1.01"} <= kinds


def test_the_table_of_witnesses() -> None:
    table = Table()
    for seed in range(3):
        rng = np.random.default_rng(seed)
        net = random_net(seed)
        x = rng.normal(size=(40, net.in_features))
        table.add(net, x, witness_mutants(compile_net(net), x, rng, entries=1))
    print(table)
    assert table.honest_rejected == 0
    assert table.accepted == []
    nan = [row for key, row in table.rows.items() if key[1] == "nan"]
    assert all(row.rejected == row.points for row in nan)
