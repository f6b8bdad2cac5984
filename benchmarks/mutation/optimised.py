"""Programs and witnesses found by a search that wants a false one accepted.

Two attacks, each a random hill climb on the checker's own residuals:

- a program that is another network's, with rows scaled up and down, beside the witness of the honest network: the
  error of its value is to be large while every residual stays within its tolerance;
- a dual point of the honest program, with multipliers moved by relative and absolute amounts and scales k within what
  x allows: its cut is to lie above the network elsewhere.

Every candidate of a climb is a mutant.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import sparse

from benchmarks.mutation.mutants import Mutant
from benchmarks.mutation.scales import at_scales
from socicnn._arrays import Array
from socicnn._compile import Compiled, Witness, compile_net
from socicnn.conic._program import ValueProgram
from socicnn.frozen import FrozenNet
from verify._core.checker import Checked, Checker
from verify._proof.network import Prover


@dataclass(frozen=True)
class _Lie:
    """What is wrong in a program: an offset of the constant or of a bias, and how each row is scaled."""

    constant: float
    biases: tuple[Array, ...]
    scales: Array


def optimised_programs(net: FrozenNet, x: Array, rng: np.random.Generator, steps: int = 20) -> Iterator[Mutant]:
    """Yield programs of wrong networks that a hill climb makes as acceptable, and then as wrong, as it can.

    Args:
        net: the honest network, of one context.
        x: points, shape `(N, n)`.
        rng: draws the moves.
        steps: candidates.
    """
    if net.stacked:
        return
    compiled = compile_net(net)
    witness, forward, bracket = compiled.witness(x), net(x), Prover(net)(x)
    S, slack = bracket.scale, bracket.slack(forward)
    lie = _start(compiled, witness, rng)
    best, kept = -np.inf, lie
    for _ in range(steps):
        wrong = _wrong(net, lie)
        program = _scaled(compile_net(wrong).program, 10.0**lie.scales)
        own = replace(witness, y=_divided(witness.y, 10.0**lie.scales))
        yield Mutant("disguise", "optimised", "A, B, b, r", "rows scaled", program, own, wrong)
        checked = Checker(program)(x, own.v, own.y, forward, own.k, scale=S, slack=slack)
        error = np.abs(wrong(x) - forward) / (1e-12 * (1 + S))
        score = float(np.where(checked.ok, 50.0 + np.log10(1e-9 + error), -_excess(checked)).max())
        if score >= best:
            best, kept = score, lie
        lie = _moved(kept, compiled.program, rng)


def _start(compiled: Compiled, witness: Witness, rng: np.random.Generator) -> _Lie:
    """Return where a climb begins: anything, or units that are off at some point, in rows scaled out of sight."""
    program, point = compiled.program, rng.integers(len(witness.v))
    size = 10.0 ** rng.uniform(-13, 4)
    columns = {block.name: slice(block.start, block.stop) for block in program.columns}
    hidden = rng.random() < 0.5
    biases = []
    for number, layer in enumerate(compiled.net.layers, start=1):
        some = rng.random(layer.b.shape) < 0.3
        biases.append(size * (some & (witness.v[point, columns[f"z{number}"]] == 0) if hidden else some))
    constant = 0.0 if hidden else float(rng.choice([0.0, size]))
    lie = _Lie(constant, tuple(biases), np.zeros(program.cones.nonnegative))
    return replace(lie, scales=np.where(_lying(lie, program), -13.0 - np.log10(size), 0.0)) if hidden else lie


def _lying(lie: _Lie, program: ValueProgram) -> Array:
    """Tell which inequalities hold a bias that is off; of a softplus unit that of its sum, as cones hold its bias."""
    found = np.zeros(program.cones.nonnegative, dtype=bool)
    rows = {block.name: block.start for block in program.rows}
    for number, more in enumerate(lie.biases, start=1):
        start = rows.get(f"relu{number}", rows.get(f"sum{number}", 0))
        found[start : start + more.size] = more[0] != 0
    return found


def optimised_witnesses(compiled: Compiled, x: Array, rng: np.random.Generator, steps: int = 20) -> Iterator[Mutant]:
    """Yield dual points whose cuts a hill climb, one per point, lifts above the network as far as it can.

    Args:
        compiled: the honest network and its program, of one context.
        x: points, shape `(N, n)`; the cut of each is tried at all of them.
        rng: draws the moves.
        steps: candidates per point.
    """
    if compiled.net.stacked:
        return
    honest, forward, bracket = compiled.witness(x), compiled.net(x), Prover(compiled.net)(x)
    checker, program = Checker(compiled.program), compiled.program
    best, kept = np.full(len(x), -np.inf), honest
    y, k = honest.y, honest.k
    for _ in range(steps):
        own = replace(honest, y=y) if k is honest.k else at_scales(program, replace(honest, y=y), k)
        yield Mutant("cut", "optimised", "y, k", "multipliers moved", program, own, vectors=True)
        checked = checker(x, own.v, own.y, forward, own.k, scale=bracket.scale, slack=bracket.slack(forward))
        above = _above(checked, x, bracket.hi, bracket.scale)
        score = np.where(checked.ok, 50.0 + np.log10(1e-9 + np.maximum(above, 0.0)), -_excess(checked))
        better = score >= best
        best = np.where(better, score, best)
        kept = Witness(kept.v, np.where(better[:, None], y, kept.y), np.where(better[:, None], k, kept.k))
        part = rng.random(y.shape) < rng.choice([0.02, 0.1, 0.5])
        nudge = 10.0 ** rng.uniform(-18, -9, size=(len(x), 1)) * rng.choice([-1, 1], size=(len(x), 1))
        relative = rng.random((len(x), 1)) < 0.5
        y = kept.y + np.where(part, nudge * np.where(relative, kept.y, 1.0), 0.0)
        k = honest.k * 2.0 ** rng.integers(-2, 3, size=k.shape) if rng.random() < 0.3 else honest.k


def _above(checked: Checked, x: Array, hi: Array, S: Array) -> Array:
    """Return how far the cut of each point lies above the network at the worst of the points, in units of 1e-12 S."""
    cuts = checked.slope @ x.T + checked.offset[:, None]
    with np.errstate(all="ignore"):
        return np.nan_to_num(((cuts - hi) / (1e-12 * S)).max(axis=1), nan=0.0)


def _excess(checked: Checked) -> Array:
    """Return the logarithm of the largest residual measured by its tolerance, 300 where nothing is tolerated."""
    with np.errstate(all="ignore"):
        ratios = [
            np.where(checked.residuals[name] <= limit, 0.0, np.log10(checked.residuals[name] / limit))
            for name, limit in checked.tolerances.items()
        ]
    return np.nan_to_num(np.max(ratios, axis=0), nan=300.0, posinf=300.0)


def _wrong(net: FrozenNet, lie: _Lie) -> FrozenNet:
    layers = [replace(layer, b=layer.b + more) for layer, more in zip(net.layers, lie.biases, strict=True)]
    return replace(net, layers=layers, output=replace(net.output, c=net.output.c + lie.constant))


def _scaled(program: ValueProgram, scales: Array) -> ValueProgram:
    """Return the program with its inequalities multiplied by positive numbers: the same value."""
    factor = np.ones(program.A.shape[0])
    factor[: len(scales)] = scales
    rows = sparse.diags_array(factor)
    changed: Any = {"A": sparse.csc_array(rows @ program.A), "B": sparse.csr_array(rows @ program.B)}
    return replace(program, b=program.b * factor, **changed)


def _divided(y: Array, scales: Array) -> Array:
    found = y.copy()
    found[:, : len(scales)] /= scales
    return found


def _moved(lie: _Lie, program: ValueProgram, rng: np.random.Generator) -> _Lie:
    """Return a neighbour: other scales for some rows, a larger or smaller error."""
    size = 10.0 ** rng.normal(scale=2.0)
    if rng.random() < 0.3:
        scales = lie.scales - np.where(_lying(lie, program) & (rng.random() < 0.5), np.log10(size), 0.0)
        return replace(lie, biases=tuple(size * more for more in lie.biases), scales=np.clip(scales, -30, 30))
    if rng.random() < 0.3:
        return replace(lie, constant=float(size * lie.constant))
    some = rng.random(lie.scales.shape) < 0.3
    return replace(lie, scales=np.clip(lie.scales + np.where(some, rng.normal(scale=6.0), 0.0), -30, 30))
