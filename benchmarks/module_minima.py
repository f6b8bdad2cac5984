"""Is a bound of a module without a program ever above the minimum? Random convex modules whose least point is known.

python -m benchmarks.module_minima [--count 1500] [--seed 0] [--state FILE]

A sum g of atoms (softplus, relu, max-affine, norms, log-sum-exp, Huber, quadratics) is tilted so that its minimum over
X is at a chosen point: for any p, x = project(p) and q = x - p, which grows least over X at x,

    f(z) = unit (g(z / scale) + (q - s)'(z - x) / scale) + c,    s a subgradient of g at x

x is in X, so that f(x), to rounding, is no less than the minimum whatever rounding did to s: a bound above it is false,
and so is a certificate of an answer that is further above it than was asked for. Flat directions, offsets of 2^24,
units of 10^+-6, float32 weights, sets of every kind that modules can be decided over, boxes up to +-1e12.
The long run is 1,500 modules, some minutes on one core; with --state it goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.counting import counted
from decision import Ball, Box, Budget, ConicSet, Decision, Ellipsoid, Product, Simplex, decide
from decision._minimise.judging import CROSSED
from decision._over_rows import AnySet
from decision.sets._ball import Norm
from decision.sets._base import FeasibleSet
from socicnn.errors import ModelError, SocicnnError

Draw = np.random.Generator
STEP = 50  # modules that are counted at a time
NORMS: tuple[Norm, ...] = ("2", "1", "inf")
KEPT = 2.0**-44  # of the terms of f: what rounding may do to the values compared
ATOMS = ("softplus", "relu", "max", "norm", "logsumexp", "huber", "square")


class Atoms(nn.Module):
    """A sum of convex atoms of A x + b, tilted; no program can be read off it.

    Args:
        draw: of what is random.
        n: length of x.
        scale: units of x.
        unit: units of f.
        c: constant, in units of f.
        dtype: of the weights.
    """

    def __init__(self, draw: Draw, n: int, scale: float, unit: float, c: float, dtype: torch.dtype) -> None:
        super().__init__()
        self.scale, self.unit, self.c = scale, unit, c
        self.kinds = [str(kind) for kind in draw.choice(ATOMS, size=draw.integers(1, 5))]
        flat = draw.random() < 0.2  # one direction in which nothing changes
        for k, _ in enumerate(self.kinds):
            A = draw.normal(size=(int(draw.integers(1, 6)), n))
            if flat:
                A[:, 0] = 0.0
            b = draw.normal(size=len(A)) * float(draw.choice([0.0, 1.0, 1.0, 10.0]))
            self.register_buffer(f"A{k}", torch.tensor(A, dtype=dtype))
            self.register_buffer(f"b{k}", torch.tensor(b, dtype=dtype))
        self.register_buffer("tilt", torch.zeros(n, dtype=torch.float64))
        self.register_buffer("least", torch.zeros(n, dtype=torch.float64))

    def atoms(self, y: Tensor) -> Tensor:
        """Return g(y)."""
        total = y.new_zeros(len(y))
        for k, kind in enumerate(self.kinds):
            A, b = getattr(self, f"A{k}").to(y), getattr(self, f"b{k}").to(y)
            u = y @ A.T + b
            total = total + FORMULAS[kind](u)
        return total

    def forward(self, x: Tensor) -> Tensor:
        """Return one value per row."""
        y = x / self.scale
        tilted = self.atoms(y) + (y - self.least) @ self.tilt
        return self.unit * (tilted + self.c)

    def least_at(self, x: Tensor, push: Tensor) -> None:
        """Tilt g so that its minimum over a set is at x, with `push` in units of x."""
        y = (x / self.scale).requires_grad_()
        (slope,) = torch.autograd.grad(self.atoms(y[None])[0], y)
        self.tilt.copy_(push / self.scale - slope)
        self.least.copy_(y.detach())

    def terms(self, x: Tensor) -> float:
        """Return the size of the terms of f at x, which rounding grows with."""
        y = x / self.scale
        sizes = [
            (y.abs() @ getattr(self, f"A{k}").abs().to(y).T + getattr(self, f"b{k}").abs()).sum()
            for k in range(len(self.kinds))
        ]
        atoms = self.atoms(y[None]).abs().sum() + sum(sizes)
        return float(self.unit * (atoms + (y.abs() + self.least.abs()) @ self.tilt.abs() + abs(self.c)))


FORMULAS: dict[str, Callable[[Tensor], Tensor]] = {
    "softplus": lambda u: nn.functional.softplus(u).sum(dim=-1),
    "relu": lambda u: torch.relu(u).sum(dim=-1),
    "max": lambda u: u.amax(dim=-1),
    "norm": lambda u: torch.linalg.vector_norm(u, dim=-1),
    "logsumexp": lambda u: torch.logsumexp(u, dim=-1),
    "huber": lambda u: nn.functional.huber_loss(u, torch.zeros_like(u), reduction="none").sum(dim=-1),
    "square": lambda u: u.square().sum(dim=-1),
}


class Projects(Protocol):
    """What gives the nearest point of a set."""

    def project(self, x: Tensor) -> Tensor:
        """Return the nearest point of each row."""
        ...


class Disc:
    """A ball that a user has written."""

    def __init__(self, n: int, radius: float) -> None:
        self.n, self.radius = n, radius

    def project(self, x: Tensor) -> Tensor:
        """Return the nearest point of each row."""
        return x / (torch.linalg.vector_norm(x, dim=-1, keepdim=True) / self.radius).clamp(min=1.0)

    def minimise_linear(self, g: Tensor) -> Tensor:
        """Return the point of each row where g'z is least."""
        return -self.radius * nn.functional.normalize(g, dim=-1)


def random_set(draw: Draw, n: int, scale: float) -> tuple[AnySet, Projects, str]:
    """Return a set, what projects onto it, and its kind."""
    kind = str(draw.choice(["simplex", "box", "box", "wide", "far", "budget", "ball", "ellipsoid", "product", "own"]))
    middle = draw.normal(size=n)
    plain: FeasibleSet | None = None
    curved: ConicSet | None = None
    if kind == "simplex":
        plain = Simplex(n)
    elif kind == "budget":
        plain = Budget(n, max(0.5, round(0.3 * n)))
    elif kind == "box":
        plain = Box(n, scale * (middle - draw.uniform(0.1, 2, n)), scale * (middle + draw.uniform(0.1, 2, n)))
    elif kind == "wide":
        width = scale * 10.0 ** float(draw.uniform(1, 12))
        plain = Box(n, -width, width if draw.random() < 0.7 else scale * 2.0)
    elif kind == "far":
        plain = Box(n, scale * (30 * middle - 1.0), scale * (30 * middle + draw.uniform(0, 2, n)))
    elif kind == "ball":
        norm = NORMS[int(draw.choice(len(NORMS)))]
        curved = Ball(n, scale * float(draw.uniform(0.1, 3)), scale * middle, norm)
    elif kind == "ellipsoid":
        curved = Ellipsoid(scale * draw.normal(size=(n, n)), scale * middle)
    elif kind == "product" and n > 1:
        curved = Product([Box(n - 1, -scale, scale), Ball(1, scale)])
    if plain is not None:
        return plain, plain, kind
    exact = None if curved is None else curved.fixed()
    if curved is not None and exact is not None:
        return curved, exact, kind
    disc = Disc(n, scale)
    return disc, disc, "own"


@dataclass
class Tally:
    """What was seen.

    Args:
        above: bounds above f at the known point.
        false: certificates of answers that are further above it than was asked for.
        crossed: decisions that call the module not convex.
        count: modules.
        certified: decisions that were certified.
        worst: descriptions of what is false.
        kinds: decisions that were not certified, by kind of set.
    """

    above: int = 0
    false: int = 0
    crossed: int = 0
    count: int = 0
    certified: int = 0
    worst: list[str] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)

    @property
    def wrong(self) -> int:
        """How much is false."""
        return self.above + self.false + self.crossed


def false_guarantees(count: int, seed: int = 0) -> Tally:
    """Decide random modules and count bounds above the known value and certificates that are false."""
    tally = Tally()
    for i in range(count):
        one_module(tally, np.random.default_rng([seed, i]), f"module {i} of seed {seed}")
    return tally


def modules_of(size: int, seed: int) -> tuple[int, int, list[str]]:
    """Return what is false among the modules of a seed, their number, and descriptions."""
    tally = false_guarantees(size, seed)
    return tally.wrong, tally.count, tally.worst


def one_module(tally: Tally, draw: Draw, name: str) -> None:
    """Decide one random module and count what is false."""
    n = int(draw.integers(1, 7))
    free = draw.random() < 0.7
    scale, unit = (float(10.0 ** draw.uniform(-6, 6)) if draw.random() < 0.5 else 1.0 for _ in range(2))
    c = float(draw.choice([0.0, 0.0, 1.0, -(2.0**24), 2.0**24]))
    region_of_x, projector, kind = random_set(draw, n, scale)
    if kind in ("simplex", "budget"):
        scale = 1.0
    model = Atoms(draw, n, scale, unit, c, torch.float32 if draw.random() < 0.3 else torch.float64)
    p = torch.tensor(scale * draw.normal(size=n) * float(draw.choice([0.3, 1.0, 5.0])))
    x = projector.project(p[None])[0]
    model.least_at(x, torch.zeros_like(x) if kind == "wide" and free else x - p)
    tally.count += 1
    try:
        answer: Decision = decide(model, region_of_x, region=None)
    except SocicnnError as error:
        raise ModelError(f"{name}, {kind}: {error}") from error
    judge(tally, answer, model, x, f"{name}: {kind}, {'+'.join(model.kinds)}")


def judge(tally: Tally, answer: Decision, model: Atoms, x: Tensor, name: str) -> None:
    """Compare an answer with a point of the set."""
    known = float(model(x[None])[0])
    rounding = KEPT * (model.terms(x) + model.terms(answer.x[0]))
    sure = bool(answer.certified[0])
    tally.certified += sure
    if not sure:
        tally.kinds[name.split(": ")[1].split(",")[0]] += 1
    value, gap = float(answer.value[0]), float(answer.gap[0])
    allowed = max(answer.rtol * float(answer.scale[0]), float(answer.floor[0]))
    if CROSSED in answer.notes:
        tally.crossed += 1
        tally.worst.append(f"{name}: its bound is said to lie above its value")
    if value - gap > known + rounding:
        tally.above += 1
        tally.worst.append(f"{name}: bound {value - gap - known:.3e} above {known:.6g}")
    if sure and value > known + allowed + rounding:
        tally.false += 1
        tally.worst.append(f"{name}: certified, and {value - known:.3e} above {known:.6g}, allowed {allowed:.3e}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1_500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--state", type=Path, help="folder that keeps the counts")
    given = parser.parse_args()
    torch.set_num_threads(1)
    seen: Counter[str] = Counter()

    def step(size: int, seed: int) -> tuple[int, int, list[str]]:
        tally = false_guarantees(size, 1_000_000 * given.seed + seed)
        seen.update(
            {
                "above": tally.above,
                "false": tally.false,
                "crossed": tally.crossed,
                "certified": tally.certified,
                "count": tally.count,
            }
        )
        seen.update({f"not certified: {kind}": count for kind, count in tally.kinds.items()})
        return tally.wrong, tally.count, tally.worst

    if given.state is not None:
        given.state.mkdir(parents=True, exist_ok=True)
    wrong, count, worst = counted(step, given.count, STEP, "modules", given.state)
    print(f"bounds above a known value, or false certificates: {wrong:,} of {count:,}")
    print("\n".join(worst[:20]))
    print("of this run:", json.dumps(dict(seen)))
    raise SystemExit(wrong > 0)


if __name__ == "__main__":
    main()
