"""Decisions under a user's own constraints: how many are certified at the default accuracy, on textbook sets.

python -m benchmarks.constrained_sets [--features 5 30] [--contexts 200] [--sets ball ...]

Networks are random, with relu layers, a thin quadratic and a norm; every context has its own vectors. `violation` is
the worst one relative to the data, `ms` the time of a decision, the proven extents of the set included.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from decision import Decision, decide
from experiments.engine.tables import Row, markdown
from socicnn.frozen import FrozenNet, Layer, Norm, Output, Quadratic

Draw = np.random.Generator


def polytope(x: Any, draw: Draw) -> list[Any]:
    """Return A x <= b with 3 n random half-spaces around a point, cut by a large box."""
    n = x.shape[0]
    A = draw.normal(size=(3 * n, n))
    return [A @ x <= A @ draw.normal(size=n) + draw.uniform(0.5, 2.0, size=3 * n), x <= 10, x >= -10]


def ball(x: Any, draw: Draw) -> list[Any]:
    """Return ||x||_2 <= 1."""
    import cvxpy as cp

    return [cp.norm(x) <= 1.0]


def one_ball(x: Any, draw: Draw) -> list[Any]:
    """Return ||x||_1 <= 1."""
    import cvxpy as cp

    return [cp.norm1(x) <= 1.0]


def inf_ball(x: Any, draw: Draw) -> list[Any]:
    """Return ||x||_inf <= 1."""
    import cvxpy as cp

    return [cp.norm_inf(x) <= 1.0]


def ellipsoid(x: Any, draw: Draw) -> list[Any]:
    """Return ||A (x - c)||_2 <= 1, A with singular values from 1/3 to 3."""
    import cvxpy as cp

    n = x.shape[0]
    Q, _ = np.linalg.qr(draw.normal(size=(n, n)))
    A = Q * np.geomspace(1 / 3, 3, n)
    return [cp.norm(A @ (x - 0.3 * draw.normal(size=n))) <= 1.0]


def simplices(x: Any, draw: Draw) -> list[Any]:
    """Return a product of simplices: x >= 0, sums 1 over the first half and the second half."""
    import cvxpy as cp

    half = x.shape[0] // 2
    return [x >= 0, cp.sum(x[:half]) == 1, cp.sum(x[half:]) == 1]


SETS: dict[str, Callable[[Any, Draw], list[Any]]] = {
    "polytope": polytope,
    "2-ball": ball,
    "1-ball": one_ball,
    "inf-ball": inf_ball,
    "ellipsoid": ellipsoid,
    "simplices": simplices,
}


def network(n: int, contexts: int, draw: Draw) -> FrozenNet:
    """Return networks with kinks: relu layers of 2 n and n units, a thin quadratic, a norm that vanishes nearby."""
    wide = 2 * n
    C = draw.normal(size=(n, n)) / np.sqrt(n)
    return FrozenNet(
        [
            Layer(None, draw.normal(size=(wide, n)), draw.normal(size=(contexts, wide))),
            Layer(draw.uniform(size=(n, wide)) / wide, draw.normal(size=(n, n)), draw.normal(size=(contexts, n))),
        ],
        Output(draw.uniform(size=(contexts, n)), draw.normal(size=(contexts, n)), draw.normal(size=contexts)),
        [Quadratic(draw.uniform(0.1, 1.0, size=contexts), draw.normal(size=(2, n)), draw.normal(size=(contexts, 2)))],
        [Norm(draw.uniform(0.5, 2.0, size=contexts), C, -C @ np.full(n, 0.5 / n))],
    )


def decided(name: str, n: int, contexts: int, seed: int) -> Decision:
    """Return the decisions of random networks over one set."""
    import cvxpy as cp

    draw = np.random.default_rng([seed, n])
    net = network(n, contexts, draw)
    x = cp.Variable(n)
    return decide(net, SETS[name](x, draw))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", type=int, nargs="+", default=[5, 30])
    parser.add_argument("--contexts", type=int, default=200)
    parser.add_argument("--sets", nargs="+", choices=sorted(SETS), default=list(SETS))
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows: list[Row] = []
    for n in given.features:
        for name in given.sets:
            found = decided(name, n, given.contexts, given.seed)
            assert found.violation is not None
            rows.append(
                {
                    "set": name,
                    "n": n,
                    "contexts": given.contexts,
                    "certified": f"{float(found.certified.double().mean()):.1%}",
                    "worst relative gap": float(found.relative_gap.max()),
                    "violation": float(found.violation.max()),
                    "ms": 1e3 * found.seconds / given.contexts,
                }
            )
            print(markdown(rows[-1:]) if len(rows) == 1 else markdown(rows[-1:]).splitlines()[-1], flush=True)


if __name__ == "__main__":
    main()
