"""Every ratio of the verifier, side by side in one run.

python -m benchmarks.verify [--points 10000] [--solver-points 200] [--large-points 1000] [--million]

Every contender takes its turn in each of several rounds: a time is the median of the rounds, a ratio the median of
the rounds' ratios. They are CPU times of one thread, so that what else the machine does counts little. `Clarabel` is
the raw solver, prepared (`benchmarks.raw_clarabel`); a certificate is that of a prepared `verify.Certifier`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

import verify
from benchmarks import raw_clarabel, raw_peers
from socicnn import SOCICNN
from socicnn._arrays import Array
from socicnn._compile import compile_net, value_program
from verify._proof.balls import BallProver
from verify._proof.duals import GuessProver, dual_guess
from verify._proof.network import Prover
from verify._proof.scale import data_scale

SMALL: dict[str, Any] = {"in_features": 10, "hidden_features": (32,) * 3, "quadratic": (8, 8), "norm": (8, 8)}
BATCHES = (1, 64, 200)
LARGE: dict[str, Any] = {"in_features": 100, "hidden_features": (256,) * 6, "quadratic": (24, 24), "norm": (24, 24)}


def network(settings: dict[str, Any], seed: int = 0) -> SOCICNN:
    """Return a float64 network whose biases are not zero."""
    draw = torch.Generator().manual_seed(seed)
    model = SOCICNN(**settings, dtype=torch.float64, generator=draw)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.startswith("vectors.free") and name.split(".")[-1][0] in "bed":
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=draw, dtype=torch.float64))
    return model


def rounds(contenders: dict[str, Callable[[], Any]], count: int) -> dict[str, Array]:
    """Return the CPU times of each contender, in seconds, one a round; in a round each takes its turn."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(count):
        for name, run in contenders.items():
            started = time.process_time()
            run()
            times[name].append(time.process_time() - started)
    return {name: np.array(values) for name, values in times.items()}


def against_solver(settings: dict[str, Any], points: int, solver_points: int, count: int) -> dict[str, float]:
    """Compare the certificate of each point with the solver and with the torch forward pass."""
    model = network(settings)
    net = model.freeze()
    x = np.random.default_rng(1).normal(size=(points, net.in_features))
    tensor = torch.tensor(x)
    solve = raw_clarabel.values(value_program(net), x[:solver_points])
    certifier = verify.Certifier(net)

    def forward() -> torch.Tensor:
        with torch.no_grad():
            return model(tensor)

    def certify() -> verify.Certificate:
        return certifier(x)

    ways: dict[str, Callable[[], Any]] = {"forward": forward, "certificate": certify, "solver": solve}
    ways |= {"anew": lambda: verify.certify(net, x), "proof": lambda: Prover(net)(x)}
    times = rounds(ways, count)
    alone = rounds({"certificate": lambda: certifier(x[:1]), "anew": lambda: verify.certify(net, x[:1])}, 10 * count)
    certificate = certify()
    scale = 1 + np.abs(certificate.forward) + data_scale(net, x)
    error = np.abs(solve() - certificate.forward[:solver_points]).max()
    assert certificate.ok
    judged = [name for name, check in certificate.checks.items() if check.ok is not None]
    worst = max(float((certificate.residuals[name] / scale).max()) for name in judged)
    each = {name: value / (solver_points if name == "solver" else points) for name, value in times.items()}
    return {
        "forward, microseconds per point": 1e6 * float(np.median(each["forward"])),
        "certificate, microseconds per point": 1e6 * float(np.median(each["certificate"])),
        "proven bracket, microseconds per point": 1e6 * float(np.median(each["proof"])),
        "raw Clarabel, microseconds per point": 1e6 * float(np.median(each["solver"])),
        "Clarabel / certificate": float(np.median(each["solver"] / each["certificate"])),
        "certificate / forward": float(np.median(each["certificate"] / each["forward"])),
        "certificate with nothing prepared / forward": float(np.median(each["anew"] / each["forward"])),
        "one point: certificate, milliseconds": 1e3 * float(np.median(alone["certificate"])),
        "one point: with nothing prepared / certificate": float(np.median(alone["anew"] / alone["certificate"])),
        "one point: Clarabel / certificate": float(np.median(each["solver"]) / np.median(alone["certificate"])),
        "worst residual or gap / (1 + |f| + scale)": worst,
        "worst |Clarabel - forward|": float(error),
    }


def one_point(settings: dict[str, Any], count: int, *, solver: bool) -> dict[str, float]:
    """Compare the certificate of one point, compiled anew or prepared, with a forward pass and with the solver."""
    model = network(settings)
    net = model.freeze()
    x = np.random.default_rng(0).normal(size=(1, net.in_features))
    tensor, certifier = torch.tensor(x), verify.Certifier(net)

    def forward() -> torch.Tensor:
        with torch.no_grad():
            return model(tensor)

    once: dict[str, Callable[[], Any]] = {
        "forward": forward,
        "certify": lambda: verify.certify(net, x),
        "Certifier": lambda: certifier(x),
    }
    if solver:
        once["Clarabel"] = raw_clarabel.values(value_program(net), x)
    repeated = {name: (lambda run=run: [run() for _ in range(10)]) for name, run in once.items()}
    rounds(repeated, 1)
    times = rounds(repeated, count)
    figures = {f"{name}, milliseconds": 100 * float(np.median(value)) for name, value in times.items()}
    for name in ("certify", "Certifier"):
        figures[f"{name} / forward"] = float(np.median(times[name] / times["forward"]))
        if solver:
            figures[f"Clarabel / {name}"] = float(np.median(times["Clarabel"] / times[name]))
    return figures


def batches(settings: dict[str, Any], count: int, solver_points: int) -> dict[str, float]:
    """Compare a prepared certifier with the solvers that are installed at batches of 1, 64 and 200 points.

    Solvers take as long for each point of a batch as for one; they are timed on a few.
    """
    net = network(settings).freeze()
    program = value_program(net)
    x = np.random.default_rng(4).normal(size=(max(BATCHES), net.in_features))
    some = [program.at(point, balanced=False) for point in x[:solver_points]]
    peers = raw_peers.loops(some[0], [(one.b, one.c) for one in some], some[0].A.shape[1])
    certifier = verify.Certifier(net)
    ways: dict[str, Callable[[], Any]] = dict(peers)
    ways |= {f"{size}": (lambda size=size: certifier(x[:size])) for size in BATCHES}
    rounds(ways, 1)
    times = rounds(ways, count)
    each = {name: 1e3 * times[name] / len(some) for name in peers}
    fastest = min(each, key=lambda name: float(np.median(each[name])))
    figures = {f"{name}, milliseconds per point": float(np.median(value)) for name, value in each.items()}
    for size in BATCHES:
        own = 1e3 * times[f"{size}"] / size
        figures[f"batch {size}: certificate, milliseconds per point"] = float(np.median(own))
        figures[f"batch {size}: Clarabel / certificate"] = float(np.median(each["Clarabel"] / own))
        figures[f"batch {size}: {fastest}, the fastest / certificate"] = float(np.median(each[fastest] / own))
    return figures


def memory(points: int) -> dict[str, float]:
    """Certify many points in a process of its own and return its largest memory in GB."""
    code = (
        "import resource, time, numpy as np\n"
        "from benchmarks.verify import SMALL, network\n"
        "import verify\n"
        f"x = np.random.default_rng(0).normal(size=({points}, 10))\n"
        "net = network(SMALL).freeze()\n"
        "started = time.process_time()\n"
        "certificate = verify.certify(net, x)\n"
        "assert certificate.ok\n"
        "print(time.process_time() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
    )
    root = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    seconds, kilobytes = done.stdout.split()
    return {f"{points} points, seconds": float(seconds), f"{points} points, GB at most": float(kilobytes) / 2**20}


def brackets(points: int) -> dict[str, float]:
    """Return how wide the brackets are, by either road, and what a solver's dual is worth."""
    net = network(SMALL).freeze()
    x = np.random.default_rng(2).normal(size=(points, 10))
    wide = Prover(net)(x)
    narrow = verify.certify(net, x[:100], proof="balls")
    prover = BallProver(net)
    started = time.process_time()
    prover(x[:100])
    balls = (time.process_time() - started) / 100
    width = wide.hi - wide.lo
    assert narrow.lo is not None
    assert narrow.hi is not None
    compiled = compile_net(net)
    prepared = compiled.program.prepare("clarabel")
    exceeded = lost = 0.0
    for i in range(40):
        solution = prepared.solve(x[i])
        instance = compiled.program.at(x[i])
        claimed = -float(solution.y @ instance.b) + instance.offset
        exceeded += claimed > narrow.hi[i]
        repaired = GuessProver(net, dual_guess(compiled, solution.y[None]))(x[i : i + 1]).lo[0]
        assert repaired <= narrow.hi[i]
        lost = max(lost, narrow.lo[i] - repaired)
    return {
        "float64 bracket, median width / |f|": float(np.median(width / np.abs(wide.lo))),
        "float64 bracket, largest width / (1 + S)": float((width / (1 + wide.scale)).max()),
        "ball bracket, largest width / (1 + S)": float(((narrow.hi - narrow.lo) / (1 + wide.scale[:100])).max()),
        "ball bracket, microseconds per point": 1e6 * balls,
        "points of 40 where Clarabel's dual objective is above the value": exceeded,
        "its dual repaired: largest distance below the value": lost,
    }


def files(points: int) -> dict[str, float]:
    """Return the size of a certificate file and the time to check it."""
    from verify.check import check

    net = network(SMALL).freeze()
    certificate = verify.certify(net, np.random.default_rng(3).normal(size=(points, 10)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "claim.npz"
        certificate.save(path)
        started = time.process_time()
        report = check(path)
        seconds = time.process_time() - started
        assert report.ok
        return {f"file of {points} points, MB": path.stat().st_size / 1e6, "seconds to check it": seconds}


def falsification() -> dict[str, float]:
    """Return the time of a search that finds nothing."""
    model = network(SMALL)
    started = time.process_time()
    found = verify.falsify(model, (-2.0, 2.0))
    assert not found.violated
    return {"evaluations of a search": found.evaluations, "seconds": time.process_time() - started}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=10_000)
    parser.add_argument("--solver-points", type=int, default=200)
    parser.add_argument("--large-points", type=int, default=1000)
    parser.add_argument("--large-solver-points", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", default="", help="parts whose titles contain this")
    parser.add_argument("--million", action="store_true", help="certify 1,000,000 points, about 10 seconds")
    given = parser.parse_args()
    torch.set_num_threads(1)
    parts: dict[str, Callable[[], dict[str, float]]] = {
        "n = 10, 32 x 3, 2 + 2 branches of 8 rows": lambda: against_solver(
            SMALL, given.points, given.solver_points, given.rounds
        ),
        "n = 100, 256 x 6, 2 + 2 branches of 24 rows": lambda: against_solver(
            LARGE, given.large_points, given.large_solver_points, 3
        ),
        "n = 10, one point": lambda: one_point(SMALL, given.rounds, solver=True),
        "n = 100, one point": lambda: one_point(LARGE, given.rounds, solver=False),
        "n = 10, batches": lambda: batches(SMALL, given.rounds, 20),
        "n = 100, batches": lambda: batches(LARGE, 1, 1),
        "memory": lambda: memory(1_000_000 if given.million else 100_000),
        "brackets": lambda: brackets(1000),
        "files": lambda: files(100),
        "falsification": falsification,
    }
    for title, part in parts.items():
        if given.only not in title:
            continue
        print(f"\n{title}")
        for name, value in part().items():
            print(f"  {name:<66} {value:>12.4g}", flush=True)


if __name__ == "__main__":
    main()
