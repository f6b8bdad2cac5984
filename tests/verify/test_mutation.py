"""The mutation table: every array, every part of a witness, and the compiler, on every architecture."""

import numpy as np
import pytest
import torch

from socicnn.compile import compile_net
from socicnn.frozen import FrozenNet
from tests.support.cases import CASES
from tests.support.frozen_nets import random_net
from verify.certificate import Checker
from verify.mutants import compiler_mutants, program_mutants, witness_mutants
from verify.mutation import Table

POINTS = 200

# one network of each architecture; contexts freeze to these
FAMILIES = {
    "dense": ("soc", "no-hidden-layer", "one-unit", "no-passthrough", "structured", "partial-icnn-softplus-weights"),
    "convolutional": ("conv-2d", "conv-1d", "conv-strides-and-pools", "conv-transposed"),
    "recurrent": ("recurrent", "recurrent-varying", "recurrent-one-step"),
}
KINDS = {"entry", "sign", "row swap", "float32 rounding", "dropped bias", "radius 1.01", "swapped x"}


def network(name: str) -> tuple[FrozenNet, list[tuple[str, str, FrozenNet]]]:
    """Return a network and those that a compiler builds that turns, or transposes, a kernel."""
    case = CASES[name]
    model = case.model()
    theta = case.contexts(model, 1)
    freeze = lambda: model.freeze(None if theta is None else theta[0])  # noqa: E731 (local shorthand)
    net, others = freeze(), []
    for label, parameter in model.named_parameters():
        if parameter.ndim < 3 or label.startswith("vectors"):
            continue
        for kind, wrong in (("turned kernel", parameter.flip(-1)), ("transposed kernel", parameter.transpose(-1, -2))):
            if wrong.shape == parameter.shape and not torch.equal(wrong, parameter):
                right = parameter.detach().clone()
                with torch.no_grad():
                    parameter.copy_(wrong.detach().clone())
                    others.append((kind, label.split(".")[0], freeze()))
                    parameter.copy_(right)
    return net, others


@pytest.mark.parametrize("family", FAMILIES)
def test_the_table(family: str) -> None:
    """No mutant is accepted where it matters, no honest program rejected anywhere."""
    table = Table()
    for seed, name in enumerate(FAMILIES[family]):
        net, others = network(name)
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(POINTS, net.in_features))
        table.add(net, x, program_mutants(compile_net(net), rng, entries=1))
        table.add(net, x, compiler_mutants(net, x, others))
    print(table)
    assert table.honest_rejected == 0
    assert table.accepted == []
    rows = table.rows.values()
    assert all(row.rejected + row.by_bracket == row.matter for row in rows)
    assert sum(row.matter for row in rows) > 0.5 * sum(row.points for row in rows)
    kinds = {key[1] for key in table.rows}
    assert kinds >= KINDS
    assert ("transposed kernel" if family == "convolutional" else "transposed") in kinds
    assert sum(row.undecided for row in rows) < 0.05 * sum(row.points for row in rows)


def test_a_lenient_verifier_shows_in_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a core that accepts everything, and brackets that exclude nothing, mutants of witnesses pass."""
    net = random_net(1)
    x = np.random.default_rng(0).normal(size=(10, 4))
    monkeypatch.setattr("verify.mutation.Checker", lambda program: Checker(program, 1e9))
    table = Table()
    table.add(net, x, witness_mutants(compile_net(net), x, np.random.default_rng(0), entries=1))
    assert table.accepted
    assert "accepted: witness" in str(table)


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
