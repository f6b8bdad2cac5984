"""The long run of the mutation table: mutants of every architecture, decided by proven brackets.

python -m benchmarks.mutations [--count 100000] [--points 200] [--seed 0] [--out mutations.md] [--state mutations.json]

One network of each architecture per round, until there are enough mutants. With `--state` a run that was stopped goes
on where it was; with `--out` the table is written as Markdown after every round. A million mutants at 25 points each
take about an hour of one core: `--count 1000000 --points 25 --state mutations.json`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from benchmarks.mutation.kernels import wrong_kernels
from benchmarks.mutation.mutants import (
    Mutant,
    compiler_mutants,
    double_mutants,
    program_mutants,
    scale_mutants,
    witness_mutants,
)
from benchmarks.mutation.mutation import Row, Table
from benchmarks.mutation.optimised import optimised_programs, optimised_witnesses
from socicnn import ICNN, SOCICNN
from socicnn._arrays import Array
from socicnn._compile import compile_net
from socicnn._files import replacing
from socicnn.frozen import FrozenNet, Layer, Norm, Norms, Output, Quadratic, Squares
from socicnn.nn import ConvSOCICNN, RecurrentSOCICNN
from socicnn.nn._convolutional import AveragePool, Conv
from socicnn.positivity import Lift

PAIRS = Conv(4, 3, group=2)
LISTED = 12  # places listed in the Markdown table


def squares_inside(draw: torch.Generator) -> FrozenNet:
    """Return two layers with a quadratic of two rows in each unit, a quadratic and a norm branch."""
    normal = lambda *shape: torch.randn(*shape, generator=draw, dtype=torch.float64).numpy()  # noqa: E731 (local shorthand)
    inside = [Squares(np.abs(normal(h)), normal(2 * h, 3), normal(2 * h)) for h in (4, 3)]
    layers = [
        Layer(None, normal(4, 3), normal(4), inside[0]),
        Layer(np.abs(normal(3, 4)) / 4, normal(3, 3), normal(3), inside[1]),
    ]
    branches = [Quadratic(np.abs(normal(1))[0], normal(2, 3), normal(2))], [Norm(0.7, normal(2, 3), normal(2))]
    return FrozenNet(layers, Output(np.abs(normal(3)), normal(3), normal(1)[0]), *branches)


def norms_inside(draw: torch.Generator, **_: Any) -> FrozenNet:
    """Return such a network with a norm of two rows in each unit as well."""
    normal = lambda *shape: torch.randn(*shape, generator=draw, dtype=torch.float64).numpy()  # noqa: E731 (local shorthand)
    net = squares_inside(draw)
    layers = [
        layer.changed(norms=Norms(np.abs(normal(h)), normal(2 * h, 3), normal(2 * h)))
        for layer, h in zip(net.layers, (4, 3), strict=True)
    ]
    return FrozenNet(layers, net.output, net.quadratics, net.norms)


def lifted(draw: torch.Generator, **settings: Any) -> Any:
    """Return a network whose weights a lift emits, finalised: a plain one."""
    model = SOCICNN(3, (6, 5), (3,), (3,), positivity=Lift(hidden=(8, 8)), generator=draw, **settings)
    return model.finalise(torch.randn(64, 3, generator=draw, dtype=torch.float64))


def any_size(draw: torch.Generator, scaled: bool = False, **_: Any) -> FrozenNet:
    """Return a network of random sizes: n to 12, up to five layers of up to 16 units, up to three branches each.

    Args:
        draw: the random numbers.
        scaled: whether each part is also multiplied by a power of ten between 1e-3 and 1e3.
    """
    rng = np.random.default_rng(int(torch.randint(2**62, (1,), generator=draw)))
    size = lambda most: int(rng.integers(1, most + 1))  # noqa: E731 (local shorthand)
    part = lambda *shape: rng.normal(size=shape) * (10.0 ** rng.uniform(-3, 3) if scaled else 1.0)  # noqa: E731
    n, widths = size(12), [size(16) for _ in range(rng.integers(0, 6))]
    layers: list[Layer] = []
    for h in widths:
        W = np.abs(part(h, layers[-1].width)) / h if layers else None
        layers.append(Layer(W, part(h, n) if not layers or rng.random() < 0.8 else None, part(h)))
    quadratics = [Quadratic(float(np.abs(part())), part(rows, n), part(rows)) for rows in (size(6),) * rng.integers(4)]
    norms = [Norm(float(np.abs(part())), part(rows, n), part(rows)) for rows in (size(6),) * rng.integers(4)]
    return FrozenNet(layers, Output(np.abs(part(widths[-1] if widths else 0)), part(n), part()), quadratics, norms)


def _of(kind: Callable[..., Any], *arguments: Any, **settings: Any) -> Callable[..., Any]:
    return lambda draw, **more: kind(*arguments, generator=draw, **settings, **more)


ARCHITECTURES: dict[str, Callable[..., Any]] = {
    "dense ReLU": _of(ICNN, 3, (7, 5)),
    "dense SOC": _of(SOCICNN, 4, (6, 5, 4), (3, 4), (4, 2)),
    "no hidden layer": _of(SOCICNN, 3, (), (2,), (2,)),
    "one unit per layer": _of(SOCICNN, 2, (1, 1), (1,), (1,)),
    "no passthrough": _of(SOCICNN, 3, (8, 6), (2,), (2,), passthrough=False, initialiser="folded"),
    "partial context": _of(SOCICNN, 3, (6, 5), (3,), (3, 2), context_features=2),
    "joint context": _of(SOCICNN, 3, (6, 5), (3,), (3,), context_features=2, context="joint"),
    "lift, finalised": lifted,
    "quadratics inside layers": lambda draw, **_: squares_inside(draw),
    "norms inside layers": norms_inside,
    "2-d convolutions": _of(ConvSOCICNN, (1, 4, 3), (2, 2), (Conv(2, 3),), (PAIRS,)),
    "1-d convolutions": _of(ConvSOCICNN, (1, 7), (2, Conv(2, 5)), (Conv(2, 3), 2), (PAIRS,)),
    "strides, pools, transposed": _of(
        ConvSOCICNN,
        (1, 4, 3),
        (Conv(2, 3, stride=2), Conv(2, 4, stride=2, transposed=True), AveragePool(3, 2, 1)),
        (2,),
        (),
    ),
    "recurrent": _of(RecurrentSOCICNN, (4, 2), 3, (3,), (PAIRS,)),
    "recurrent, varying weights": _of(RecurrentSOCICNN, (3, 2), 3, shared=False),
    "softplus": _of(SOCICNN, 3, (6, 5), (2,), (2,), activation="softplus"),
    "ReLU, then softplus": _of(ICNN, 3, (6, 5), activation=("relu", "softplus"), context_features=2),
    "any size": any_size,
    "any size, any scale": lambda draw, **_: any_size(draw, scaled=True),
}


def network(make: Callable[..., Any], seed: int) -> tuple[FrozenNet, list[tuple[str, str, FrozenNet]]]:
    """Return a random network of an architecture, and those that a compiler makes of it that mistakes a kernel.

    Its biases are off zero, and it has one context where it takes one.
    """
    draw = torch.Generator().manual_seed(seed)
    model = make(draw, dtype=torch.float64)
    if isinstance(model, FrozenNet):
        return model, []
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.startswith("vectors.free") and name.split(".")[-1][0] in "bed":
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=draw, dtype=torch.float64))
    shape = model.context_shape
    context = None if shape is None else torch.randn(shape, generator=draw, dtype=torch.float64)
    return model.freeze(context), list(wrong_kernels(model, context))


def mutants(
    net: FrozenNet, x: Array, rng: np.random.Generator, others: list[tuple[str, str, FrozenNet]]
) -> Iterator[Mutant]:
    """Yield every kind of mutant of one network: of each exported array, of each part of a witness, of the compiler."""
    compiled = compile_net(net)
    yield from chain(
        program_mutants(compiled, rng, entries=2, vector_entries=16),
        compiler_mutants(net, others),
        witness_mutants(compiled, x, rng, entries=8),
        double_mutants(net, rng, count=60),
        scale_mutants(compiled, x, rng),
        optimised_programs(net, x, rng, steps=12),
        optimised_witnesses(compiled, x, rng, steps=40),
    )


def markdown(table: Table, points: int) -> str:
    """Return the table as Markdown: by architecture, by kind of mutant, and what was not decided."""
    names = [entry.name for entry in fields(Row)]
    kinds: dict[tuple[str, str], Row] = {}
    arrays: dict[tuple[str, str], set[str]] = {}
    for (what, how, array), row in table.rows.items():
        kinds[what, how] = kinds.get((what, how), Row()) + row
        arrays.setdefault((what, how), set()).add(array)

    def lines(heads: list[str], rows: list[tuple[list[str], Row]]) -> list[str]:
        titles = [*heads, *(name.replace("_", " ") for name in names)]
        made = ["| " + " | ".join(titles) + " |", "|" + "---|" * len(heads) + "---:|" * len(names)]
        made += [
            "| " + " | ".join([*labels, *(f"{getattr(row, name):,}" for name in names)]) + " |" for labels, row in rows
        ]
        return made

    def listed(places: dict[str, int], unit: str) -> list[str]:
        first = sorted(places.items(), key=lambda item: (-item[1], item[0]))[:LISTED]
        left = len(places) - len(first)
        return [f"- {place}: {count:,} {unit}" for place, count in first] + ([f"- {left} more places"] if left else [])

    total = (["all"], table.total)
    text = [
        f"{table.mutants:,} mutants at {points} points each; honest programs rejected at {table.honest_rejected} of "
        f"{table.honest_points:,} points.",
        "",
        *lines(["architecture"], [*(([name], row) for name, row in table.architectures.items()), total]),
        "",
        *lines(
            ["mutated", "how", "arrays"],
            [([*key, ", ".join(sorted(arrays[key]))], row) for key, row in sorted(kinds.items())],
        ),
        "",
        "Undecided most often:",
        "",
        *listed(table.undecided, "points"),
        "",
        "Matter at no point tried, most often:",
        "",
        *listed(table.harmless, "mutants"),
    ]
    if table.accepted:
        text += ["", "Accepted where they matter:", "", *(f"- {place}" for place in table.accepted)]
    return "\n".join(text) + "\n"


def run(count: int, points: int = 200, seed: int = 0, *, state: Path | None = None, out: Path | None = None) -> Table:
    """Try mutants of network after network, until there are enough.

    Args:
        count: mutants at least.
        points: points each.
        seed: of the first round.
        state: file to keep the counts in after every network, and to go on from.
        out: file to write the table to as Markdown, after every round.

    Raises:
        ValueError: the state belongs to other settings.
    """
    settings = {"points": points, "seed": seed, "architectures": list(ARCHITECTURES)}
    table, done = Table(), 0  # done counts networks, in a fixed order
    if state and state.is_file():
        kept = json.loads(state.read_text())
        if kept["settings"] != settings:
            raise ValueError(f"{state} belongs to other settings: {kept['settings']}")
        table, done = Table.of_state(kept["table"]), kept["done"]
    with tqdm(total=count, initial=table.mutants, unit="mutants") as bar:
        while table.mutants < count:
            turn, place = divmod(done, len(ARCHITECTURES))
            name, make = list(ARCHITECTURES.items())[place]
            rng = np.random.default_rng((seed, done))
            net, others = network(make, seed + turn)
            x = rng.normal(size=(points, net.in_features))
            table.add(net, x, mutants(net, x, rng, others), name)
            done += 1
            bar.update(table.mutants - bar.n)
            if state:
                with replacing(state) as draft:
                    draft.write_text(json.dumps({"settings": settings, "done": done, "table": table.state()}))
            if out and (place == len(ARCHITECTURES) - 1 or table.mutants >= count):
                with replacing(out) as draft:
                    draft.write_text(markdown(table, points))
    return table


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=100_000, help="mutants to try, at least (default: %(default)s)")
    parser.add_argument("--points", type=int, default=200, help="points each (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the first round (default: %(default)s)")
    parser.add_argument("--out", type=Path, help="write the table as Markdown to this file")
    parser.add_argument("--state", type=Path, help="keep the counts in this file, and go on from it where it is there")
    given = parser.parse_args(argv)
    torch.set_num_threads(1)
    try:
        table = run(given.count, given.points, given.seed, state=given.state, out=given.out)
    except ValueError as error:
        parser.error(str(error))
    print(table)
    return int(bool(table.accepted or table.honest_rejected))


if __name__ == "__main__":
    sys.exit(main())
