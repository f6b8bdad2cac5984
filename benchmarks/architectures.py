"""The size of each architecture's program, and the time of a certificate beside a solver's, in one run.

python -m benchmarks.architectures [--solver clarabel] [--solver-points 3] [--time-limit 60] [--only dense]

Times are processor time, which a busy machine moves less than the clock's; the limit a point is the clock's. The solver
works in a process of its own, so that the limit holds while it factorises too.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import queue
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import verify
from socicnn import ICNN, SOCICNN
from socicnn._arrays import Array
from socicnn._compile import compile_net
from socicnn.conic._program import ValueProgram
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
    normal = lambda *shape: torch.randn(*shape, generator=draw, dtype=torch.float64).numpy() / 3.0  # noqa: E731 (local shorthand)
    inside = [Squares(rho=np.full(32, 0.5), F=normal(64, 10)) for _ in range(2)]
    layers = [
        Layer(None, normal(32, 10), normal(32), inside[0]),
        Layer(np.abs(normal(32, 32)) / 32, normal(32, 10), normal(32), inside[1]),
    ]
    return FrozenNet(layers, Output(np.abs(normal(32)), normal(10)))


def measure(make: Callable[[torch.Generator], Any], name: str, solver_points: int, limit: float) -> dict[str, Any]:
    """Return sizes and times of one architecture; times are medians a point."""
    model = make(torch.Generator().manual_seed(0))
    model = model if isinstance(model, FrozenNet) else model.double()
    started = time.process_time()
    net = model.freeze()
    program = compile_net(net).program
    compile_s = time.process_time() - started
    nonzeros = program.A.nnz + program.B.nnz
    points = int(np.clip(5_000_000 // nonzeros, 5, 1000))
    x = np.random.default_rng(0).normal(size=(points, net.in_features))
    certificates = []
    for _ in range(3):
        started = time.process_time()
        certificate = verify.certify(net, x)
        certificates.append((time.process_time() - started) / points)
    if not certificate.ok:
        raise SystemExit("a certificate failed: this is a defect; report it with the command and the seed")
    certified = statistics.median(certificates)
    found = solve(program, x[:solver_points], name, limit)
    errors = [abs(value - f) / (1 + abs(f)) for (value, _, _), f in zip(found, net(x), strict=False)]
    solver = statistics.median(seconds for _, _, seconds in found) if found else float("nan")
    return {
        "variables": program.A.shape[1],
        "rows": program.A.shape[0],
        "cones": len(program.cones.second_order),
        "non-zeros": nonzeros,
        "compile s": f"{compile_s:.2g}",
        "certificate ms": f"{1e3 * certified:.3g}",
        f"{name} ms": f"{1e3 * solver:.3g}" if found else f"none in {limit:.0f} s",
        "solved": f"{sum(ok for _, ok, _ in found)} of {solver_points}",
        "error": f"{max(errors):.0e}" if found else "",
        "ratio": f"{solver / certified:.0f}" if found else "",
    }


def solve(program: ValueProgram, x: Array, name: str, limit: float) -> list[tuple[float, bool, float]]:
    """Return value, success and processor time at each point, as far as the solver came within the limit a point."""
    processes = multiprocessing.get_context("spawn")
    answers: Any = processes.Queue()
    child = processes.Process(target=_solve, args=(program, x, name, limit, answers), daemon=True)
    child.start()
    found: list[tuple[float, bool, float]] = []
    answers.get()  # it has started
    with contextlib.suppress(queue.Empty):
        while len(found) < len(x):
            found.append(answers.get(timeout=limit + 10))  # a solver that keeps to its own limit is heard
    child.terminate()
    child.join()
    return found


def _solve(program: ValueProgram, x: Array, name: str, limit: float, answers: Any) -> None:
    answers.put("started")
    settings = {"max_threads": 1} if name == "clarabel" else {}
    prepared = program.prepare(name, time_limit=limit, **settings)
    for point in x:
        started = time.process_time()
        solution = prepared.solve(point)
        answers.put((solution.value, solution.ok, time.process_time() - started))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--solver", default="clarabel")
    parser.add_argument("--solver-points", type=int, default=3)
    parser.add_argument("--time-limit", type=float, default=60.0, help="seconds per point")
    parser.add_argument("--only", default="", help="part of a name")
    options = parser.parse_args()
    header = False
    for name, make in architectures().items():
        if options.only not in name:
            continue
        row = measure(make, options.solver, options.solver_points, options.time_limit)
        if not header:
            print("| architecture | " + " | ".join(row) + " |\n|" + "---|" * (len(row) + 1))
            header = True
        print(f"| {name} | " + " | ".join(map(str, row.values())) + " |", flush=True)


if __name__ == "__main__":
    main()
