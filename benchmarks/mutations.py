"""The long run of the mutation table: mutants of every architecture, decided by proven brackets.

python -m benchmarks.mutations [--count 100000] [--points 200] [--seed 0]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from itertools import chain, islice
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from socicnn import ICNN, SOCICNN
from socicnn.compile import compile_net
from socicnn.frozen import FrozenNet
from socicnn.nn import ConvSOCICNN, RecurrentSOCICNN
from socicnn.nn.convolutional import AveragePool, Conv
from verify.mutants import Mutant, compiler_mutants, program_mutants, witness_mutants
from verify.mutation import Table

PAIRS = Conv(4, 3, group=2)
ARCHITECTURES: dict[str, Callable[..., Any]] = {
    "icnn": lambda **s: ICNN(3, (7, 5), **s),
    "soc": lambda **s: SOCICNN(4, (6, 5, 4), (3, 4), (4, 2), **s),
    "no hidden layer": lambda **s: SOCICNN(3, (), (2,), (2,), **s),
    "one unit": lambda **s: SOCICNN(2, (1, 1), (1,), (1,), **s),
    "no passthrough": lambda **s: SOCICNN(3, (8, 6), (2,), (2,), passthrough=False, initialiser="folded", **s),
    "partial context": lambda **s: SOCICNN(3, (6, 5), (3,), (3, 2), context_features=2, **s),
    "joint context": lambda **s: SOCICNN(3, (6, 5), (3,), (3,), context_features=2, context="joint", **s),
    "2-d convolutions": lambda **s: ConvSOCICNN((2, 5, 4), (3, 2), (Conv(3, 3),), (PAIRS,), **s),
    "1-d convolutions": lambda **s: ConvSOCICNN((2, 7), (3, Conv(2, 5)), (Conv(3, 3), 2), (PAIRS,), **s),
    "strides, pools, transposed": lambda **s: ConvSOCICNN(
        (1, 4, 3), (Conv(2, 3, stride=2), Conv(2, 4, stride=2, transposed=True), AveragePool(3, 2, 1)), (2,), (), **s
    ),
    "recurrent": lambda **s: RecurrentSOCICNN((5, 2), 4, **s),
    "recurrent, varying weights": lambda **s: RecurrentSOCICNN((4, 2), 3, shared=False, **s),
}


def network(make: Callable[..., Any], seed: int) -> FrozenNet:
    """Return a random network of an architecture, its biases off zero, at one context where it takes one."""
    draw = torch.Generator().manual_seed(seed)
    model = make(dtype=torch.float64, generator=draw)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.startswith("vectors.free") and name.split(".")[-1][0] in "bed":
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=draw, dtype=torch.float64))
    shape = model.context_shape
    return model.freeze(None if shape is None else torch.randn(shape, generator=draw, dtype=torch.float64))


def mutants(net: FrozenNet, x: np.ndarray, rng: np.random.Generator) -> Iterator[Mutant]:
    """Yield every kind of mutant of one network; witnesses are tried at a few points, where the slow judge looks."""
    compiled = compile_net(net)
    yield from chain(program_mutants(compiled, rng, entries=3), compiler_mutants(net, x))


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=100_000, help="mutants to try, about (default: %(default)s)")
    parser.add_argument("--points", type=int, default=200, help="points each (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(argv)
    torch.set_num_threads(1)
    table = Table()
    seed = given.seed
    with tqdm(total=given.count, unit="mutants") as bar:
        while table.mutants < given.count:
            for make in ARCHITECTURES.values():
                left = given.count - table.mutants
                if left <= 0:
                    break
                rng = np.random.default_rng(seed)
                net = network(make, seed)
                x = rng.normal(size=(given.points, net.in_features))
                table.add(net, x, islice(mutants(net, x, rng), left))
                few = x[:10]
                table.add(net, few, islice(witness_mutants(compile_net(net), few, rng, entries=1), 20))
                bar.update(table.mutants - bar.n)
            seed += 1
    print(table)
    return int(bool(table.accepted or table.honest_rejected))


if __name__ == "__main__":
    sys.exit(main())
