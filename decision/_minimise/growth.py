"""A lower bound over a box whose far bounds do not matter: what grows in f is kept, and holds x back.

With the tangents of the quadratics at an anchor y, p = A y + e, every dual point of the rest gives

    f(x) >= l(x) + sum_m beta_m ||A_m (x - y)||^2,    l(x) = l(y) + g'(x - y)

for all x. Coordinates at a bound that g pushes against only add to l. Let r be the other entries of g, which are zero
but for the solver's accuracy, and sigma > 0 a lower bound of the eigenvalues of G = sum_m 2 beta_m A_m'A_m: then

    min_X f >= l(y) - ||r||^2 / (2 sigma)

however far the other bounds are, where an affine bound loses |r| times the width. Kinks grow as well: a unit of the
first layer with multiplier 0 < lambda < q adds s |a| for s = min(lambda, q - lambda), a norm gamma (1 - ||u||) ||p||.
With K = sum s^2 U_i'U_i + sum gamma^2 (1 - ||u||)^2 C'C and a share t of them all,

    min_X f >= l(y) - t (sum s |a(y)| + sum gamma (1 - ||u||) ||p(y)||)    where t^2 lambda_min(K) >= ||r||^2.

A softplus unit of the first layer, or a row of a logistic branch (tau = 1, q its weight), with multiplier p q is
tau log(1 + exp(t)) above its tangent at t_0 = log(p / (1 - p)), t = a / tau, by at least
q tau p (1 - p) (exp(-d) + d - 1), d = |t - t_0| (its third derivative is at most its second: Bach, "Self-concordant
analysis for logistic regression", 2010), hence by w d^2 / (2 + d) with
w = q tau p (1 - p). With e = |t(y) - t_0|, which is next to nothing, r = ||x - y||, K = G + 1/2 sum w U_i'U_i / tau^2,
sigma <= lambda_min(K), E = max e and M = max ||U_i|| / tau they add (sigma r^2 - sum w e^2) / (2 + E + M r), and so

    min_X f >= l(y) - (2 + E) ||r||^2 / (sigma - M ||r||) - 1/2 sum w e^2    where sigma > M ||r||.

The best of the three counts. Everything is rounded outward. That
sigma is a bound is proven by a Cholesky factorisation: where it succeeds on G - tau I in float64, the eigenvalues of G
are at least tau - g(n) trace(G) (Rump, "Verification of positive definiteness", BIT 46, 2006).
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from decision._minimise.bounds import Minorant, boxes_of, minorant, repaired
from decision._minimise.linear_map import Map
from decision._minimise.smoothed_stack import by_slopes
from decision._minimise.stack import Dual, Stack
from decision.sets import Box
from socicnn._margins import EPS, TINY, relative_margin

FLAT = 1e-4  # slopes of softplus units nearer to 0 or 1 than this count as no growth
LARGEST, ENTRIES = 4096, 2**26  # inputs, and entries of a dense matrix, beyond which growth is not looked for
PART = 2**24  # entries of dense matrices that contexts have together


def growth_bound(stack: Stack, box: Box, x: Tensor, dual: Dual, allowed: Tensor) -> Tensor:
    """Return a proven lower bound of min_X f for each context, shape `(contexts,)`; -inf where f does not grow.

    Its matrices are dense, n x n for each context: a network that is too large for them gets -inf.

    Args:
        stack: the networks.
        box: the set X.
        x: decisions, shape `(contexts, n)`.
        dual: a guess of a dual point; it is repaired first.
        allowed: what moving a coordinate to its bound may cost, shape `(contexts,)`; the bound without such moves
            counts too, as a slope that is noise moves a coordinate of a wide box far away.
    """
    n, matrices = stack.in_features, [matrix for matrix, *_ in stack.rows()]
    entries = n * max([n, *(matrix.shape[0] for matrix in matrices)])
    below = stack.v.new_full((len(x),), -torch.inf)
    if n > LARGEST or entries > ENTRIES:
        return below
    for rows in torch.arange(len(x), device=x.device).split(max(1, PART // entries)):
        some, start, point = stack.take(rows), x[rows], dual.take(rows)
        still = _grown(some, box, start, point, torch.zeros_like(allowed[rows]))
        below[rows] = torch.maximum(_grown(some, box, start, point, allowed[rows]), still)
    return below


def _grown(stack: Stack, box: Box, x: Tensor, dual: Dual, allowed: Tensor) -> Tensor:
    """Return the bound with coordinates moved to their bounds where that costs at most `allowed`."""
    sigma = least_curvature(stack)
    lower, upper = box.ends(x)
    y = x
    for _ in range(2):  # once to see which bounds hold x, once with the tangents at the point that lies on them
        point = repaired(stack, replace(dual, lam=by_slopes(stack, dual.lam, y), p=stack.images(y)))
        line = minorant(stack, point)
        error = relative_margin(line.terms) * line.slope_size + TINY
        down = (line.slope > error) & (line.slope * (y - lower) <= allowed[:, None])
        up = (line.slope < -error) & (-line.slope * (upper - y) <= allowed[:, None])
        anchor = torch.where(down, lower, torch.where(up, upper, y))
        held = (down & (y == lower)) | (up & (y == upper))
        last, y = y, anchor
    rest = torch.where(held, 0.0, line.slope.abs() + error)
    tilted = _tilted(stack, last, rest)
    best = torch.maximum(_bound(last, line, tilted, sigma), _kinked(stack, last, line, rest, point))
    bends = _bends(stack, last, point)
    return torch.maximum(best, _bent(stack, last, line, tilted, bends)) if bends else best


def _tilted(stack: Stack, y: Tensor, rest: Tensor) -> Tensor:
    """Return a bound of |r| that allows for the rounding of the quadratics' tangents."""
    n = y.shape[1]
    for branch, p in zip(stack.quadratics, stack.images(y), strict=False):
        # p is A y + e but for rounding, which tilts the quadratic a little
        size = branch.size(y.abs()) + p.abs() + TINY
        off = relative_margin(n + 4) * size
        rest = rest + 2.0 * branch.weight * branch.matrix.absolute().adjoint(off) * (1.0 + relative_margin(n))
    return rest


def _bound(y: Tensor, line: Minorant, rest: Tensor, sigma: Tensor) -> Tensor:
    """Return l(y) - ||r||^2 / (2 sigma), rounded down; `rest` bounds |r|."""
    loss = rest.square().sum(dim=-1) / (2.0 * sigma) * (1.0 + relative_margin(4 * y.shape[1] + 16))
    return torch.where(sigma > 0, _lessened(y, line, loss), -torch.inf)


def _lessened(y: Tensor, line: Minorant, loss: Tensor) -> Tensor:
    """Return l(y) - loss, rounded down; -inf where it is not finite."""
    value = (line.slope * y).sum(dim=-1) + line.offset
    size = (line.slope_size * (y.abs() + TINY)).sum(dim=-1) + line.offset_size
    bound = value - loss - (relative_margin(2 * line.terms) * (size + loss) + TINY)
    return torch.where(bound.isfinite(), bound, -torch.inf)


def _kinked(stack: Stack, y: Tensor, line: Minorant, rest: Tensor, dual: Dual) -> Tensor:
    """Return l(y) less a share of what the kinks have left, rounded down; -inf where they do not hold x back."""
    n, slack = stack.in_features, stack.v.new_zeros(len(stack))
    K = stack.v.new_zeros(len(stack), n, n)
    size = slack
    parts: list[tuple[Map, Tensor]] = []
    first = stack.layers[0] if stack.layers else None
    mixed = first is not None and isinstance(first.smoothing, Tensor)
    if first is not None and first.U is not None and not first.inner and (mixed or not first.smooth):
        box = stack.w
        if len(stack.layers) > 1:
            W = stack.layers[1].W
            assert W is not None, "a layer after the first has a hidden weight"
            box = (W.adjoint(dual.lam[1]) * (1.0 - relative_margin(W.shape[0])) - TINY).clamp(min=0.0)
        s = torch.minimum(dual.lam[0], (box - dual.lam[0]) * (1.0 - relative_margin(8))).clamp(min=0.0)
        s = s * (torch.as_tensor(first.smoothing, device=s.device) == 0)  # kinks alone
        a = (first.preactivation(y, None).abs() + _error(first.U, first.b, y)) * (1.0 + relative_margin(8))
        slack = slack + (s * a).sum(dim=-1)
        parts.append((first.U, s))
    for branch, u in zip(stack.norms, dual.u, strict=False):  # those inside layers follow
        length = torch.linalg.vector_norm(branch.grouped(u), dim=-1) * (1.0 + relative_margin(branch.group + 8))
        s = branch.weight * (1.0 - length).clamp(min=0.0) * (1.0 - relative_margin(8))
        p = branch.image(y).abs() + _error(branch.matrix, branch.offset, y)
        slack = slack + (s * torch.linalg.vector_norm(branch.grouped(p), dim=-1)).sum(dim=-1)
        parts.append((branch.matrix, s.repeat_interleave(branch.group, dim=1)))
    for matrix, s in parts:
        rows = s[..., None] * matrix.dense
        K = K + rows.mT @ rows
        size = size + (1.0 + relative_margin(2 * n + 16)) * (s * matrix.row_norms).square().sum(dim=-1)
    terms = sum(matrix.shape[0] for matrix, _ in parts) + 16
    if not len(stack) or not parts or not bool(K.isfinite().all()):
        return torch.full_like(slack, -torch.inf)
    grip = _least_eigenvalue(K, relative_margin(terms) * size + TINY).sqrt() * (1.0 - relative_margin(8))
    pull = torch.linalg.vector_norm(rest, dim=-1) * (1.0 + relative_margin(n + 16))
    loss = (pull / grip) * slack * (1.0 + relative_margin(2 * terms))
    return torch.where((grip > 0) & (pull <= grip), _lessened(y, line, loss), -torch.inf)


class _Bend(NamedTuple):
    """Softplus units of pre-activations a = U x + b with multipliers lambda in [0, q]."""

    U: Map
    b: Tensor
    a: Tensor
    tau: Tensor  # of each unit
    q: Tensor
    lam: Tensor


def _bends(stack: Stack, y: Tensor, dual: Dual) -> list[_Bend]:
    """Return the softplus units of the first layer and of logistic branches, whose multipliers are w times a share."""
    bends: list[_Bend] = []
    first = stack.layers[0] if stack.layers else None
    if first is not None and first.smooth and first.U is not None and not first.inner:
        q = boxes_of(stack, dual)[0]
        tau = torch.as_tensor(first.smoothing, device=q.device).expand(q.shape[1])
        lam = torch.where(tau > 0, dual.lam[0], 0.0)  # units with a kink count as flat
        tau = torch.where(tau > 0, tau, 1.0)
        bends.append(_Bend(first.U, first.b, first.preactivation(y, None), tau, q, lam))
    for branch, share in zip(stack.exponentials, dual.p[len(stack.curved) :], strict=True):
        if branch.logistic:
            q = branch.weight.expand_as(share)
            bends.append(_Bend(branch.matrix, branch.offset, branch.image(y), torch.ones_like(q[0]), q, q * share))
    return bends


def _bent(stack: Stack, y: Tensor, line: Minorant, rest: Tensor, bends: list[_Bend]) -> Tensor:
    """Return the bound of such units and the quadratics, rounded down; -inf without growth."""
    n = stack.in_features
    K, error = _quadratic_part(stack)
    size, off = torch.zeros_like(line.offset), torch.zeros_like(line.offset)
    most, steep, count = torch.zeros_like(line.offset), 0.0, 0
    for U, b, a, tau, q, lam in bends:
        p = lam / q
        used = (p > FLAT) & (p < 1.0 - FLAT)
        p = torch.where(used, p, 0.5)
        w = torch.where(used, q * tau * p * (1.0 - p), 0.0)
        # log p is within 16 EPS of 10, log(1 - p) moves by EPS / FLAT with p
        e = (a / tau - (p.log() - (-p).log1p())).abs() + 64.0 * EPS / FLAT
        e = torch.where(used, (e + _error(U, b, y) / tau) * (1.0 + relative_margin(16)), 0.0)
        steep = max(steep, float((U.row_norms / tau).amax()) * (1.0 + relative_margin(n + 8)))
        rows = (0.5 * w).sqrt()[..., None] * (U.dense / tau[:, None])
        size = size + (1.0 + relative_margin(2 * n + 16)) * rows.square().sum(dim=(1, 2))
        K = K + rows.mT @ rows
        most, off = torch.maximum(most, e.amax(dim=-1)), off + 0.5 * (w * e.square()).sum(dim=-1)
        count += w.shape[1]
    if not len(stack) or not bool(K.isfinite().all()):
        return torch.full_like(line.offset, -torch.inf)
    sigma = _least_eigenvalue(K, error + relative_margin(count + 24) * (size + error) + TINY)
    pull = torch.linalg.vector_norm(rest, dim=-1) * (1.0 + relative_margin(n + 16))
    hold = sigma - steep * pull * (1.0 + 8 * EPS) - 8 * EPS * sigma
    loss = (2.0 + most) * pull.square() / hold + off
    return torch.where(hold > 0, _lessened(y, line, loss * (1.0 + relative_margin(count + 32))), -torch.inf)


def _error(matrix: Map, offset: Tensor, y: Tensor) -> Tensor:
    """Return what rounding can have changed in matrix y + offset."""
    size = matrix.absolute().apply(y.abs() + TINY) + offset.abs() + TINY
    return relative_margin(y.shape[1] + 8) * size


def least_curvature(stack: Stack) -> Tensor:
    """Return a proven lower bound of the eigenvalues of sum_m 2 beta_m A_m'A_m, shape `(contexts,)`; 0 if none.

    >>> from socicnn.frozen import FrozenNet, Output, Quadratic
    >>> net = FrozenNet([], Output([], [0.0, 0.0]), [Quadratic(0.5, [[2.0, 0.0], [0.0, 1.0]])])
    >>> 0.4 < float(least_curvature(Stack.of(net))) < 1.0
    True
    """
    G, error = _quadratic_part(stack)
    if not len(stack) or not stack.quadratics or not bool(G.isfinite().all()):
        return torch.zeros_like(error)
    return _least_eigenvalue(G, error)


def _quadratic_part(stack: Stack) -> tuple[Tensor, Tensor]:
    """Return sum_m 2 beta_m A_m'A_m and a bound of the norm of its error."""
    n = stack.in_features
    G = stack.v.new_zeros(len(stack), n, n)
    error = stack.v.new_zeros(len(stack))
    for branch in stack.quadratics:
        gram = branch.matrix.gram
        G = G + 2.0 * branch.weight[..., None] * gram
        size = branch.matrix.row_norms.square().sum()  # trace(|A|'|A|) bounds the norm of its rounding errors
        error = error + 2.0 * branch.weight[:, 0] * relative_margin(branch.matrix.shape[0] + 4) * size + TINY
    return G, error


def _least_eigenvalue(G: Tensor, error: Tensor) -> Tensor:
    """Return a proven lower bound of the least eigenvalue, 0 if none; `error` bounds the norm of the error of G."""
    n = G.shape[1]
    tau = 0.5 * torch.linalg.eigvalsh(G)[:, 0]
    trace = G.diagonal(dim1=1, dim2=2).sum(dim=1)
    _, failed = torch.linalg.cholesky_ex(G - tau[:, None, None] * torch.eye(n, dtype=G.dtype, device=G.device))
    sigma = tau - relative_margin(n + 4) * (trace + tau.abs()) * (n + 4) - 2.0 * error
    return torch.where((failed == 0) & (sigma > 0), sigma * (1.0 - relative_margin(8)), 0.0)
