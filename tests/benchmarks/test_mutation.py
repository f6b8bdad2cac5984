"""The mutation table: every array, every part of a witness, and the compiler, on every architecture."""

import json
from argparse import Namespace
from dataclasses import replace

import numpy as np
import pytest
import torch

import verify
from benchmarks.mutation.batches import batches
from benchmarks.mutation.kernels import wrong_kernels
from benchmarks.mutation.mutants import (
    Mutant,
    compiler_mutants,
    double_mutants,
    program_mutants,
    scale_mutants,
    witness_mutants,
)
from benchmarks.mutation.mutation import Row, Table, lack
from benchmarks.mutation.optimised import optimised_programs, optimised_witnesses
from socicnn._compile import compile_net
from socicnn.frozen import FrozenNet, Norms, Output, Squares
from tests.support.cases import CASES
from tests.support.frozen_nets import random_net
from verify._core.checker import Checker
from verify._proof.network import Prover
from verify._proof.program import ProgramProver
from verify._proof.scale import data_scale

POINTS = 200

# one network of each architecture; contexts freeze to these
FAMILIES = {
    "dense": ("soc", "no-hidden-layer", "one-unit", "no-passthrough", "structured", "partial-icnn-softplus-weights"),
    "convolutional": ("conv-2d", "conv-1d", "conv-strides-and-pools", "conv-transposed"),
    "recurrent": ("recurrent", "recurrent-varying", "recurrent-one-step"),
    "in-layer quadratics": ("squares",),
    "smooth branches": ("smooth-branches", "smooth-joint", "smooth-partial"),
}
KINDS = {"entry", "sign", "row swap", "float32 rounding", "dropped bias", "radius 1.01", "swapped x"}


def squares_net() -> FrozenNet:
    """Return a network with quadratics inside both layers, norms inside one."""
    net, rng = random_net(5, 3, (4, 3)), np.random.default_rng(5)
    inside = [Squares(rng.uniform(0.2, 1.0, h), rng.normal(size=(2 * h, 3)), rng.normal(size=2 * h)) for h in (4, 3)]
    layers = [replace(layer, squares=s) for layer, s in zip(net.layers, inside, strict=True)]
    layers[1] = replace(layers[1], norms=Norms(rng.uniform(0.2, 1.0, 3), rng.normal(size=(6, 3)), rng.normal(size=6)))
    return replace(net, layers=layers)


def network(name: str) -> tuple[FrozenNet, list[tuple[str, str, FrozenNet]]]:
    """Return a network and those that a compiler builds that turns, or transposes, a kernel."""
    if name == "squares":
        return squares_net(), []
    case = CASES[name]
    model = case.model()
    theta = case.contexts(model, 1)
    theta = None if theta is None else theta[0]
    return model.freeze(theta), list(wrong_kernels(model, theta))


@pytest.mark.parametrize("family", FAMILIES)
def test_the_table(family: str) -> None:
    """No mutant is accepted where it matters, no honest program rejected anywhere."""
    table = Table()
    for seed, name in enumerate(FAMILIES[family]):
        net, others = network(name)
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(POINTS, net.in_features))
        compiled = compile_net(net)
        table.add(net, x, program_mutants(compiled, rng, entries=1), name)
        table.add(net, x, compiler_mutants(net, others), name)
        table.add(net, x, witness_mutants(compiled, x, rng, entries=1), name)
        table.add(net, x, double_mutants(net, rng, count=20), name)
        table.add(net, x[:25], scale_mutants(compiled, x[:25], rng), name)
        table.add(net, x[:25], optimised_programs(net, x[:25], rng, steps=5), name)
        table.add(net, x[:25], optimised_witnesses(compiled, x[:25], rng, steps=20), name)
    print(table)
    assert table.honest_rejected == 0
    assert table.accepted == []
    rows = table.rows.values()
    assert all(row.rejected + row.by_bracket == row.matter for row in rows)
    assert sum(row.matter for row in rows) > 0.5 * sum(row.points for row in rows)
    kinds = {key[1] for key in table.rows}
    assert kinds >= KINDS
    assert ("transposed kernel" if family == "convolutional" else "transposed") in kinds
    assert {key[2] for key in table.rows if key[0] == "witness"} == {"v", "y", "k"}
    # exponential cones that a mutant took apart have no bracket: reading the structure refuses them, as its tests show
    open_share = 0.2 if family == "smooth branches" else 0.02
    assert sum(row.undecided for row in rows) < open_share * sum(row.points for row in rows)
    assert set(table.architectures) == set(FAMILIES[family])
    assert sum(table.architectures.values(), Row()) == table.total


def test_a_lenient_verifier_shows_in_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a core that accepts everything, and brackets that exclude nothing, mutants of witnesses pass."""
    net = random_net(1)
    x = np.random.default_rng(0).normal(size=(10, 4))
    monkeypatch.setattr("benchmarks.mutation.mutation.Checker", lambda program: Checker(program, 1e9))
    table = Table()
    table.add(net, x, witness_mutants(compile_net(net), x, np.random.default_rng(0), entries=1))
    assert table.accepted
    assert "accepted: witness" in str(table)


def _lenient(program, tolerance=1e-12):
    """A core that judges duals and values by what it is shown, as one did that took S and k from the witness."""
    checker = Checker(program, 1e-3)
    return lambda x, v, y, f, k, *, scale, **more: checker(x, v, y, f, k, scale=1e12 * scale, **more)


def test_a_core_that_believes_the_claimant_shows_in_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mutants that a search finds, and those at other scales, are accepted where tolerances are the claimant's."""
    x = np.random.default_rng(0).normal(size=(20, 4))
    net = random_net(1)
    monkeypatch.setattr("benchmarks.mutation.mutation.Checker", _lenient)
    monkeypatch.setattr("benchmarks.mutation.mutation.certify", lambda *_, **__: Namespace(passed=True))
    monkeypatch.setattr("verify._core.lifts.FACTOR", np.inf)
    table, rng = Table(), np.random.default_rng(0)
    compiled = compile_net(net)
    table.add(net, x, scale_mutants(compiled, x, rng))
    table.add(net, x, optimised_programs(net, x, rng, steps=30))
    table.add(net, x, optimised_witnesses(compiled, x, rng, steps=30))
    accepted = {key[0] for key, row in table.rows.items() if row.accepted}
    assert accepted == {"program", "disguise", "cut"}


def test_disguises_deceive_the_residuals_and_not_the_certificate() -> None:
    """Rows scaled down hide an error from every residual; the bracket of the program's value finds it."""
    found = 0
    for seed in range(6):
        net, rng = random_net(seed), np.random.default_rng(seed)
        x = rng.normal(size=(20, 4))
        forward, scale = net(x), data_scale(net, x)
        for mutant in optimised_programs(net, x, rng, steps=25):
            own = mutant.witness
            ok = Checker(mutant.program)(x, own.v, own.y, forward, own.k, scale=scale).ok
            beyond = np.abs(mutant.net(x) - forward) > 1e-6 * (1 + scale)
            found += int((ok & beyond).sum())
            assert not (verify.certify(net, x, program=mutant.program, witness=own).passed & beyond).any()
    assert found


def test_a_network_of_any_size() -> None:
    from benchmarks.mutations import any_size

    sizes = set()
    for seed in range(20):
        for scaled in (False, True):
            net = any_size(torch.Generator().manual_seed(seed), scaled)
            sizes.add((net.in_features, net.hidden_features))
            x = np.random.default_rng(seed).normal(size=(5, net.in_features))
            assert verify.certify(net, x, proof=True).ok
    assert len(sizes) >= 19


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


@pytest.mark.parametrize("net", [random_net(2), squares_net()], ids=["dense", "squares"])
def test_judged_together_as_alone(net: FrozenNet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutants that are stacked get the counts that each gets alone."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(30, net.in_features))
    compiled = compile_net(net)
    mutants = [
        *program_mutants(compiled, rng, entries=2),
        *compiler_mutants(net),
        *witness_mutants(compiled, x, rng, entries=1),
    ]
    sizes = [len(batch) for batch in batches(mutants, compiled.program, net, len(x))]
    assert sum(sizes) == len(mutants)
    assert max(sizes) > 10
    together, alone = Table(), Table()
    together.add(net, x, mutants)
    monkeypatch.setattr("benchmarks.mutation.mutation.batches", lambda mutants, *_: ([mutant] for mutant in mutants))
    alone.add(net, x, mutants)
    assert together.rows == alone.rows
    assert together.undecided == alone.undecided


def test_stacked_contexts() -> None:
    """A program that stacks contexts has mutants too: each changes what it changes, and no more."""
    net, rng = random_net(3), np.random.default_rng(0)
    x = rng.normal(size=(20, 4))
    stack = replace(net, layers=[replace(net.layers[0], b=rng.normal(size=(20, 6))), net.layers[1]])
    table = Table()
    table.add(stack, x, program_mutants(compile_net(stack), rng, entries=1))
    table.add(stack, x, compiler_mutants(stack))
    assert table.accepted == []
    assert table.honest_rejected == 0
    entry = table.rows["program", "entry", "b"]
    assert entry.matter <= entry.mutants  # one entry belongs to one context


def test_what_breaks_a_witness_is_measured_in_every_scale() -> None:
    """The slow judge agrees with the program in the lift that a witness belongs to."""
    net = random_net(4)
    compiled, x = compile_net(net), 1e3 * np.random.default_rng(0).normal(size=(5, 4))
    witness = compiled.witness(x)
    assert (witness.k > 2).all()
    assert (lack(compiled.program, x, witness) < 1e-13).all()
    for i in range(5):
        program = compiled.program.rescaled(witness.k[i])
        one = replace(witness, v=witness.v[i : i + 1], y=witness.y[i : i + 1], k=np.ones((1, witness.k.shape[1])))
        assert lack(program, x[i : i + 1], one) < 1e-13
        assert lack(compiled.program, x[i : i + 1], one) > 1e-3  # of another lift


def test_counts_survive_a_file() -> None:
    net, x = random_net(1), np.random.default_rng(0).normal(size=(10, 4))
    table = Table()
    table.add(net, x, program_mutants(compile_net(net), np.random.default_rng(0), entries=1), "dense")
    again = Table.of_state(json.loads(json.dumps(table.state())))
    assert again.rows == table.rows
    assert str(again) == str(table)
    assert again.state() == table.state()


@pytest.mark.parametrize(
    ("head", "second"), [(-0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)], ids=["head turned", "second turned", "swapped"]
)
def test_a_lift_without_a_point_is_told(head: float, second: float) -> None:
    """With these offsets s_0 >= |s_1| leaves no room for p, whatever t is; a solver finds no point either."""
    net = random_net(3)
    program = compile_net(net).program
    b = program.b.copy()
    where = int(program.lifts.heads[0])
    b[where], b[where + 1] = head, second
    mutant, x = replace(program, b=b), np.random.default_rng(0).normal(size=(4, 4))
    assert (ProgramProver(mutant)(x).lo == np.inf).all()
    assert not mutant.at(x[0], balanced=False).solve().ok


def test_a_cost_below_zero_is_bracketed_by_duality() -> None:
    """An activation that pays has the value that a solver finds, while what it raises costs more than it pays."""
    net = random_net(3)
    program, x = compile_net(net).program, np.random.default_rng(0).normal(size=(6, 4))
    q = program.q.copy()
    q[0] = -1e-3
    mutant = replace(program, q=q)
    bracket, honest = ProgramProver(mutant)(x), Prover(net)(x)
    values = np.array([mutant.at(point).solve().value for point in x])
    assert np.isfinite(bracket.lo).all()
    assert (np.abs(values - bracket.lo) < 1e-6 * (1 + np.abs(values))).all()
    assert ((bracket.hi < honest.lo) | (compile_net(net).witness(x).v[:, 0] < 1e-9)).all()


def test_a_mutant_says_what_it_is() -> None:
    mutant = next(program_mutants(compile_net(random_net(1)), np.random.default_rng(0)))
    assert isinstance(mutant, Mutant)
    assert mutant.what == "program"
    assert mutant.place


def test_an_empty_program_has_batches() -> None:
    """An affine network has neither rows nor variables; its r is all that can be wrong."""
    net = FrozenNet([], Output([], [2.0], 1.0))
    program = compile_net(net).program
    assert program.A.shape == (0, 0)
    wrong = Mutant("program", "entry", "r", "off by 1", replace(program, r=program.r + 1.0))
    table = Table()
    table.add(net, np.zeros((3, 1)), [wrong])
    assert (table.mutants, table.accepted) == (1, [])
