"""Conic programs whose primal and dual solutions are known in closed form."""

from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from socicnn._arrays import Array
from socicnn.conic._cones import Cones
from socicnn.conic._program import ConicProgram


@dataclass(frozen=True)
class Known:
    """A program and its optimal value; `v` and `y` where they are unique, else None."""

    program: ConicProgram
    value: float
    v: Array | None = None
    y: Array | None = None


def conic(A, b, c, cones: Cones, offset: float = 0.0) -> ConicProgram:
    return ConicProgram(sparse.csc_array(np.atleast_2d(A)), np.array(b, float), np.array(c, float), offset, cones)


def simplex_corner() -> Known:
    """min c'x over the simplex: the least cost, at its vertex; multipliers -min c and c - min c."""
    c = np.array([3.0, -1.0, 2.0, 0.5])
    program = conic(np.vstack([np.ones(4), -np.eye(4)]), [1, 0, 0, 0, 0], c, Cones(1, 4), offset=2.0)
    return Known(program, 1.0, np.array([0.0, 1, 0, 0]), np.concatenate([[1.0], c + 1]))


def box_corner() -> Known:
    """min -x1 - 2 x2 in [0, 1] x [0, 3]: at (1, 3)."""
    A = np.vstack([np.eye(2), -np.eye(2)])
    return Known(conic(A, [1, 3, 0, 0], [-1, -2], Cones(0, 4)), -7.0, np.array([1.0, 3]), np.array([1.0, 2, 0, 0]))


def equalities_alone() -> Known:
    """One point: x + y = 3, x - y = 1, cost 5 x + 7 y."""
    program = conic([[1, 1], [1, -1]], [3, 1], [5, 7], Cones(2))
    return Known(program, 17.0, np.array([2.0, 1]), np.array([-6.0, 1]))


def distance_to_plane() -> Known:
    """min ||x - p|| with sum x = 1: |sum p - 1| / sqrt(n), variables (t, x)."""
    p = np.array([1.0, 2, -4, 3])
    n = len(p)
    A = np.zeros((n + 2, n + 1))
    A[0, 1:] = 1
    A[1:, :] = -np.eye(n + 1)
    program = conic(A, np.concatenate([[1.0, 0], -p]), np.eye(n + 1)[0], Cones(1, 0, (n + 1,)))
    gap = p.sum() - 1  # positive
    value = gap / np.sqrt(n)
    v = np.concatenate([[value], p - gap / n])
    y = np.concatenate([[1 / np.sqrt(n), 1.0], np.ones(n) / np.sqrt(n)])
    return Known(program, value, v, y)


def ball_support() -> Known:
    """min c'x with ||x|| <= 2: -2 ||c||."""
    c = np.array([3.0, 0, -4])
    A = np.vstack([np.zeros(3), -np.eye(3)])
    v, y = -2 * c / 5, np.concatenate([[5.0], c])
    return Known(conic(A, [2, 0, 0, 0], c, Cones(0, 0, (4,))), -10.0, v, y)


def cones_of_one_and_two() -> Known:
    """A cone of size 1 is a half line, one of size 2 an absolute value: min x + |x - 3| + 2 y, y >= -1, x >= 1."""
    A = [[-1, 0, 0], [0, -1, 0], [0, 0, -1], [-1, 0, 0]]
    program = conic(A, [-1, 1, 0, -3], [1, 2, 1], Cones(0, 0, (1, 1, 2)))
    return Known(program, 1.0)


def log_sum_exp(*p: float) -> Known:
    """min t >= log sum exp(p_j): sum u_j <= 1, (p_j - t, 1, u_j) in Kexp; variables (t, u). Dual: softmax."""
    count, points = len(p), np.array(p)
    A, b = np.zeros((1 + 3 * count, 1 + count)), np.zeros(1 + 3 * count)
    A[0, 1:], b[0] = 1.0, 1.0
    A[1::3, 0], b[1::3] = 1.0, points
    b[2::3] = 1.0
    A[3::3, 1:] = -np.eye(count)
    value = points.max() + np.log(np.exp(points - points.max()).sum())
    u = np.exp(points - value)
    program = conic(A, b, np.eye(1 + count)[0], Cones(0, 1, (), count))
    y = np.stack([-u, -u * (1 - np.log(u)), np.ones(count)], axis=1).reshape(-1)
    return Known(program, float(value), np.concatenate([[value], u]), np.concatenate([[1.0], y]))


def exponential_of_a_half() -> Known:
    """min s with (x, y, s) in Kexp, x >= 1, y = 2: 2 exp(1/2). A cone whose entries differ tells their order."""
    A = np.vstack([[[0, 1, 0], [-1, 0, 0]], -np.eye(3)])
    e = np.exp(0.5)
    value, y = 2 * e, np.array([-0.5 * e, e, -e, -0.5 * e, 1.0])
    return Known(conic(A, [2, -1, 0, 0, 0], [0, 0, 1], Cones(1, 1, (), 1)), value, np.array([1.0, 2, value]), y)


def random_pair(
    seed: int, zero: int, nonnegative: int, second_order: tuple[int, ...], variables: int, exponential: int = 0
) -> Known:
    """A program made around a primal and a dual point that satisfy the optimality conditions."""
    rng = np.random.default_rng(seed)
    cones = Cones(zero, nonnegative, second_order, exponential)
    s, y = np.zeros(cones.rows), np.zeros(cones.rows)
    y[:zero] = rng.normal(size=zero)
    on = rng.random(nonnegative) < 0.5
    s[zero : zero + nonnegative] = np.where(on, rng.exponential(size=nonnegative), 0)
    y[zero : zero + nonnegative] = np.where(on, 0, rng.exponential(size=nonnegative))
    for index, (head, size) in enumerate(zip(cones.heads, second_order, strict=True)):
        u = rng.normal(size=size - 1)
        cone = slice(head, head + size)
        if index % 3 == 0 and size > 1:  # both on the boundary
            s[cone] = np.concatenate([[np.linalg.norm(u)], u])
            y[cone] = rng.exponential() * np.concatenate([[np.linalg.norm(u)], -u])
        elif index % 3 == 1:
            s[cone] = np.concatenate([[np.linalg.norm(u) + 1], u])
        else:
            y[cone] = np.concatenate([[np.linalg.norm(u) + 1], u])
    for index, start in enumerate(range(cones.exponential_start, cones.rows, 3)):
        ratio, height = rng.normal(), rng.exponential()
        e = np.exp(ratio)
        s[start : start + 3] = height * ratio, height, height * e + (index % 3 == 1)
        if index % 3 != 1:  # on the boundary, and the normal there
            y[start : start + 3] = rng.exponential() * np.array([-e, -e * (1 - ratio), 1.0])
    A = rng.normal(size=(cones.rows, variables)) * (rng.random((cones.rows, variables)) < 0.7)
    v = rng.normal(size=variables)
    c = -A.T @ y
    offset = rng.normal()
    return Known(conic(A, A @ v + s, c, cones, offset), float(c @ v + offset))


def random_pairs() -> dict[str, Known]:
    """Programs of every mixture of cones."""
    shapes = {
        "inequalities": (0, 9, (), 4),
        "all_kinds": (2, 6, (3, 4, 2), 6),
        "cones_alone": (0, 0, (5, 3, 4), 5),
        "equalities_and_cones": (2, 0, (4, 4), 4),
        "one_variable": (0, 2, (2,), 1),
        "many_small_cones": (1, 5, (2,) * 12, 6),
    }
    return {f"{name}_{seed}": random_pair(seed, *shape) for name, shape in shapes.items() for seed in range(4)}


KNOWN = {
    "simplex_corner": simplex_corner(),
    "box_corner": box_corner(),
    "equalities_alone": equalities_alone(),
    "distance_to_plane": distance_to_plane(),
    "ball_support": ball_support(),
    "cones_of_one_and_two": cones_of_one_and_two(),
    **random_pairs(),
}

# with exponential cones, whose duals solvers find to 1e-4 only; log-sum-exp at values known from elsewhere
EXPONENTIAL = {
    "log_sum_exp": replace(log_sum_exp(1.0, 2.0, 3.0), value=3.4076059644443806),
    "log_sum_exp_far_away": replace(log_sum_exp(1000.0, 1000.0), value=1000.6931471805599),
    "softplus_of_1": replace(log_sum_exp(1.0, 0.0), value=1.3132616875182228),
    "exponential_of_a_half": exponential_of_a_half(),
    **{f"mixed_{seed}": random_pair(seed, 1, 4, (3, 4), 6, exponential=4) for seed in range(4)},
    **{f"exponential_alone_{seed}": random_pair(seed, 0, 0, (), 4, exponential=6) for seed in range(2)},
}
