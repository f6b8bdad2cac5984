"""The size of each architecture's program, and the time of a certificate beside a solver's, in one run.

python -m benchmarks.architectures [--solver-points 3] [--time-limit 60] [--only dense]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import verify
from socicnn import ICNN, SOCICNN
from socicnn.compile import compile_net
from socicnn.frozen import FrozenNet, Layer, Output, Squares
from socicnn.nn import ConvSOCICNN, RecurrentSOCICNN


def architectures() -> dict[str, Callable[[torch.Generator], Any]]:
    """Return one network of each architecture, by name."""
    return {
        "dense ReLU, n = 10, 64 x 64": lambda g: ICNN(10, (64, 64), generator=g),
        "dense SOC, n = 10, 64 x 64": lambda g: SOCICNN(10, (64, 64), quadratic=(10,), norm=(10, 10), generator=g),
        "dense SOC, n = 100, 256 x 6": lambda g: SOCICNN(
            100, (256,) * 6, quadratic=(24, 24), norm=(24, 24), generator=g
        ),
        "quadratics inside layers, n = 10, 32 x 32": squares_inside,
        "1-d convolutional, 4 x 40": lambda g: ConvSOCICNN((4, 40), (10, 10), generator=g),
        "2-d convolutional, 16 x 16, 3 layers of 10": lambda g: ConvSOCICNN((1, 16, 16), (10, 10, 10), generator=g),
        "2-d convolutional, 64 x 64, 3 layers of 10": lambda g: ConvSOCICNN((1, 64, 64), (10, 10, 10), generator=g),
        "recurrent, T = 40, p = 4, 20 units": lambda g: RecurrentSOCICNN((40, 4), hidden_features=20, generator=g),
    }


def squares_inside(draw: torch.Generator) -> FrozenNet:
    """Return two layers of 32 units on n = 10, each unit with a quadratic of two rows."""
    normal = lambda *shape: torch.randn(*shape, generator=draw, dtype=torch.float64).numpy() / 3.0  # noqa: E731
    inside = [Squares(rho=np.full(32, 0.5), F=normal(64, 10)) for _ in range(2)]
    layers = [
        Layer(None, normal(32, 10), normal(32), inside[0]),
        Layer(np.abs(normal(32, 32)) / 32, normal(32, 10), normal(32), inside[1]),
    ]
    return FrozenNet(layers, Output(np.abs(normal(32)), normal(10)))


def measure(make: Callable[[torch.Generator], Any], solver_points: int, limit: float) -> dict[str, Any]:
    """Return sizes and times of one architecture; times are medians a point."""
    model = make(torch.Generator().manual_seed(0))
    net = model if isinstance(model, FrozenNet) else model.double().freeze()
    started = time.perf_counter()
    program = compile_net(net).program
    compile_s = time.perf_counter() - started
    nonzeros = program.A.nnz + program.B.nnz
    points = int(np.clip(5_000_000 // nonzeros, 5, 1000))
    x = np.random.default_rng(0).normal(size=(points, net.in_features))
    certificates = []
    for _ in range(3):
        started = time.perf_counter()
        certificate = verify.certify(net, x)
        certificates.append((time.perf_counter() - started) / points)
    if not certificate.ok:
        raise SystemExit("a certificate failed: this is a defect; report it with the command and the seed")
    prepared = program.prepare("clarabel", time_limit=limit)
    solves, solutions = [], []
    for point in x[:solver_points]:
        started = time.perf_counter()
        solutions.append(prepared.solve(point))
        solves.append(time.perf_counter() - started)
        if solves[-1] >= limit:
            break
    solver, certified = statistics.median(solves), statistics.median(certificates)
    errors = [abs(s.value - f) / (1 + abs(f)) for s, f in zip(solutions, net(x), strict=False)]
    return {
        "variables": program.A.shape[1],
        "rows": program.A.shape[0],
        "cones": len(program.cones.second_order),
        "non-zeros": nonzeros,
        "compile s": f"{compile_s:.2f}",
        "certificate ms": f"{1e3 * certified:.3g}",
        "Clarabel ms": f"{1e3 * solver:.3g}",
        "solved": f"{sum(s.ok for s in solutions)} of {len(solutions)}",
        "error": f"{max(errors):.0e}",
        "ratio": f"{solver / certified:.0f}",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--solver-points", type=int, default=3)
    parser.add_argument("--time-limit", type=float, default=60.0)
    parser.add_argument("--only", default="", help="part of a name")
    options = parser.parse_args()
    header = False
    for name, make in architectures().items():
        if options.only not in name:
            continue
        row = measure(make, options.solver_points, options.time_limit)
        if not header:
            print("| architecture | " + " | ".join(row) + " |\n|" + "---|" * (len(row) + 1))
            header = True
        print(f"| {name} | " + " | ".join(map(str, row.values())) + " |", flush=True)


if __name__ == "__main__":
    main()
