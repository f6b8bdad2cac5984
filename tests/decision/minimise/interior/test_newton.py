"""The eliminated Newton system solves the whole one: every linearised condition is met by its step."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from decision import Box, Budget, Simplex
from decision._minimise.interior import norms
from decision._minimise.interior.choice import Choice
from decision._minimise.interior.iterate import Iterate
from decision._minimise.interior.newton import System
from decision._minimise.interior.polyhedron import Polyhedron
from decision._minimise.interior.products import FoldedProduct, adjoint
from decision._minimise.interior.start import on_path, settled
from decision._minimise.interior.units import Gatherer
from decision._minimise.stack import Stack
from tests.support.stacks import random_stack


@pytest.mark.parametrize("widths", [(), (6,), (9, 7), (5, 8, 6), (4, 5, 6, 3)])
@pytest.mark.parametrize("feasible_set", [Simplex(5), Box(5, -1.0, 2.0), Budget(5, 2.0, equality=False)])
def test_a_full_step_meets_every_linearised_condition(widths: tuple[int, ...], feasible_set) -> None:
    stack = Stack.of(random_stack(0, widths=widths))
    polyhedron = Polyhedron.of(feasible_set)
    generator = torch.Generator().manual_seed(0)
    choice = Choice.of(
        [torch.ones(layer.b.shape, dtype=torch.bool) for layer in stack.layers],
        [torch.zeros(layer.b.shape, dtype=torch.bool) for layer in stack.layers],
    )
    scale = [torch.tensor(1.0, dtype=torch.float64)] * len(widths)
    kept = Gatherer(stack, scale).gather(choice, stack)
    x = polyhedron.centre.repeat(len(stack), 1)
    mu = torch.full((len(stack),), 0.1, dtype=torch.float64)
    s = polyhedron.slack(x)
    units = on_path(kept, x, mu, scale)
    u = [norms.start(one, x, mu) for one in stack.norms]

    def jolt(one: torch.Tensor) -> torch.Tensor:
        return one * (0.5 + torch.rand(one.shape, dtype=torch.float64, generator=generator))

    z, p, lam, kap = ([jolt(one) for one in group] for group in units)
    at = Iterate(x, s, jolt(mu[:, None] / s), z, p, lam, kap, [0.8 * one for one in u], mu, [None] * len(widths))
    boxes = [kept.box(k, above) + 0.01 for k, above in enumerate([*at.lam[1:], None])] if widths else []
    H = 0.1 * torch.eye(5, dtype=torch.float64).repeat(len(stack), 1, 1)
    gradient = torch.randn(len(stack), 5, dtype=torch.float64, generator=generator)
    turns = [norms.Turn(one, x, dual, mu) for one, dual in zip(stack.norms, at.u, strict=True)]
    system = System(kept, polyhedron, at, boxes, turns, H.clone(), gradient)
    target = 0.3 * mu
    step = system.direction(target)

    close = {"rtol": 1e-8, "atol": 1e-10}
    torch.testing.assert_close(at.s * step.y + at.y * step.s, target[:, None] - at.s * at.y, **close)
    total = gradient + (H @ step.x[..., None])[..., 0] + polyhedron.adjoint(at.y + step.y)
    for branch, dual, change in zip(stack.norms, at.u, step.u, strict=True):
        total = total + branch.matrix.adjoint(branch.row_weight * (dual + change).flatten(1))
    for k in range(len(widths)):
        moved_below = at.z[k - 1] + step.z[k - 1] if k else None
        a = kept.preactivation(k, at.x + step.x, moved_below)
        torch.testing.assert_close(at.z[k] + step.z[k] - at.p[k] - step.p[k], a, **close)
        above = step.lam[k + 1] if k + 1 < len(widths) else None
        raised = torch.zeros_like(boxes[k]) if above is None else kept.box(k, above) - kept.w[k]
        torch.testing.assert_close(at.lam[k] + step.lam[k] + at.kap[k] + step.kap[k], boxes[k] + raised, **close)
        torch.testing.assert_close(
            at.p[k] * step.lam[k] + at.lam[k] * step.p[k], target[:, None] - at.p[k] * at.lam[k], **close
        )
        torch.testing.assert_close(
            at.z[k] * step.kap[k] + at.kap[k] * step.z[k], target[:, None] - at.z[k] * at.kap[k], **close
        )
        total = total + adjoint(kept.U[k], at.lam[k] + step.lam[k])
    total = total - (total @ polyhedron.E.T) @ polyhedron.E  # up to the equalities' multipliers
    # the matrix of the norms is the symmetric part of theirs, which leaves (u q' - q u') dp / 2 of their condition
    for branch, turn, dual in zip(stack.norms, turns, at.u, strict=True):
        dp = branch.grouped(branch.matrix.apply(step.x))
        p, sigma, root = norms.path_length(branch, x, mu)
        q = p / root
        twist = 0.5 * (q * (dual * dp).sum(-1, keepdim=True) - dual * (q * dp).sum(-1, keepdim=True)) / sigma
        total = total - branch.matrix.adjoint(branch.row_weight * twist.flatten(1))
        assert (turn.miss() < 0.5).all()
    total = total - (total @ polyhedron.E.T) @ polyhedron.E
    torch.testing.assert_close(total, torch.zeros_like(total), **close)
    torch.testing.assert_close(step.x @ polyhedron.E.T, torch.zeros(len(stack), len(polyhedron.E), dtype=torch.float64))


@pytest.mark.parametrize(("first", "few"), [(6, None), (2, None), (6, 2), (6, 5)])
@pytest.mark.parametrize(
    "smoothing",
    [
        (0.7,),
        (0.5, 0.3),
        (0.0, 0.4),
        (0.4, 0.0),
        (0.0, 0.6, 0.0, 0.2),
        ((0.0, 0.5),),
        ((0.3, 0.0), (0.0, 0.2, 0.7), 0.0),
    ],
)
def test_softplus_units_move_as_their_formula_does(smoothing: tuple, first: int, few: int | None) -> None:
    """dz = T da, lambda = q / (1 + exp(-a / tau)) to first order, with ReLU units above, below and beside.

    If `few`, that many units of a first layer of ReLU units are kept, and the next one is taken as on.
    """
    net = random_stack(0, widths=(first, 5, 7, 4)[: len(smoothing)])
    taus = [np.resize(tau, layer.width).astype(float) for layer, tau in zip(net.layers, smoothing, strict=True)]
    layers = [layer.changed(smoothing=tau) for layer, tau in zip(net.layers, taus, strict=True)]
    stack = Stack.of(replace(net, layers=layers, norms=[]))
    box = Polyhedron.of(Box(5, -1.0, 2.0))
    scale = [torch.tensor(1.0, dtype=torch.float64)] * len(layers)
    every = [torch.ones(layer.b.shape, dtype=torch.bool) for layer in stack.layers]
    on = [~mask for mask in every]
    if few is not None and smoothing[0] == 0.0:
        every[0] = (torch.arange(first) < few).expand(len(stack), -1)
        on[0] = (torch.arange(first) == few).expand(len(stack), -1)
    kept = Gatherer(stack, scale).gather(Choice.of(every, on), stack)
    assert isinstance(kept.U[-1], FoldedProduct) == (few is not None and smoothing == (0.0, 0.4))
    x, mu = box.centre.repeat(len(stack), 1), torch.full((len(stack),), 0.1, dtype=torch.float64)
    s = box.slack(x)
    widths = [torch.tensor(tau).repeat(len(stack), 1) if tau.any() else None for tau in taus]
    start = Iterate(x, s, mu[:, None] / s, *on_path(kept, x, mu, scale), [], mu, widths)
    at = settled(kept, start, mu, scale)
    boxes = [kept.box(k, above) + kept.rest(k, mu, scale) for k, above in enumerate([*at.lam[1:], None])]
    H = torch.eye(5, dtype=torch.float64).repeat(len(stack), 1, 1)
    step = System(kept, box, at, boxes, [], H.clone(), kept.v).direction(0.3 * mu)
    total = kept.v + (H @ step.x[..., None])[..., 0] + box.adjoint(at.y + step.y)
    close = {"rtol": 1e-7, "atol": 1e-9}
    for k, tau in enumerate(taus):
        a, soft = at.z[k] - at.p[k], (torch.tensor(tau) > 0)[: at.z[k].shape[1]]
        below = (at.z[k - 1], step.z[k - 1]) if k else (None, None)
        da = kept.preactivation(k, step.x, below[1]) - kept.b[k]
        width = at.widths[k]
        if width is not None:
            torch.testing.assert_close(a[:, soft], kept.preactivation(k, at.x, below[0])[:, soft], **close)
            assert (width >= torch.tensor(tau)).all()
            p = torch.sigmoid(a / width)
            torch.testing.assert_close(at.lam[k][:, soft], (boxes[k] * p)[:, soft], **close)
            priced = soft & (boxes[k] > 0)  # a unit without a price may move as it likes
            torch.testing.assert_close(step.z[k][priced], (p * da)[priced], **close)
            above = step.lam[k + 1] if k + 1 < len(taus) else None
            dq = torch.zeros_like(p) if above is None else kept.box(k, above) - kept.w[k]
            moved = p * dq + boxes[k] * p * (1 - p) / width * da
            torch.testing.assert_close(step.lam[k][:, soft], moved[:, soft], **close)
        products = at.z[k] * step.kap[k] + at.kap[k] * step.z[k] + at.z[k] * at.kap[k]
        torch.testing.assert_close(products[:, ~soft], 0.3 * mu[:, None].expand_as(products)[:, ~soft], **close)
        total = total + adjoint(kept.U[k], at.lam[k] + step.lam[k])
    torch.testing.assert_close(total, torch.zeros_like(total), **close)
