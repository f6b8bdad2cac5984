"""Kept units: the network that is left is a minorant, exact where the others are what they are taken for."""

from dataclasses import replace

import pytest
import torch

from decision._minimise.bounds import repaired
from decision._minimise.interior.choice import Choice
from decision._minimise.interior.products import ChosenColumns, FoldedProduct, adjoint, dense, taken, times, turned
from decision._minimise.interior.units import Gatherer, Kept
from decision._minimise.stack import Dual, Stack
from tests.support.stacks import random_stack

DEPTHS = [((6,), False), ((6,), True), ((9, 7), False), ((9, 7), True), ((8, 6, 7), False)]


def random_choice(stack: Stack, seed: int, x: torch.Tensor | None = None) -> Choice:
    """Keep about half of the units; the others are on where they can be folded, at random or as they are at x."""
    generator = torch.Generator().manual_seed(seed)
    kept, on = [], []
    active = None if x is None else [a > 0 for a in stack.preactivations(x)]
    for k, (layer, fold) in enumerate(zip(stack.layers, Gatherer.foldable(stack), strict=True)):
        keep = torch.rand(layer.b.shape, generator=generator) < 0.5
        is_on = torch.rand(layer.b.shape, generator=generator) < 0.5 if active is None else active[k]
        if not fold:
            keep |= is_on
        kept.append(keep)
        on.append(is_on & ~keep)
    return Choice.of(kept, on)


def value(stack: Stack, kept: Kept, x: torch.Tensor) -> torch.Tensor:
    """Return the value of the network that is left."""
    found = (x * kept.v).sum(dim=1) + kept.c
    affine = kept.at(x)
    z = None
    for k, w in enumerate(kept.w):
        z = affine.preactivation(k, x, z).relu()
        found = found + (w * z).sum(dim=1)
    return found + (stack.value(x) - (x * stack.v).sum(dim=1) - stack.c - backbone(stack, x))


def backbone(stack: Stack, x: torch.Tensor) -> torch.Tensor:
    return (stack.preactivations(x)[-1].relu() * stack.w).sum(dim=1)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("widths", "inside"), DEPTHS)
def test_what_is_left_is_a_minorant_and_exact_where_the_choice_is_right(
    widths: tuple[int, ...], inside: bool, seed: int
) -> None:
    stack = Stack.of(random_stack(seed, widths=widths, inside=inside))
    gatherer = Gatherer(stack, [torch.tensor(1.0, dtype=torch.float64)] * len(widths))
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(4, 5, dtype=torch.float64, generator=generator)
    wrong = gatherer.gather(random_choice(stack, seed), stack)
    right = gatherer.gather(random_choice(stack, seed, x), stack)
    torch.testing.assert_close(value(stack, right, x), stack.value(x))
    for _ in range(10):
        other = torch.randn(4, 5, dtype=torch.float64, generator=generator)
        assert (value(stack, wrong, other) <= stack.value(other) + 1e-12).all()
    assert (value(stack, wrong, x) < stack.value(x) - 1e-6).any()  # so that the check above says something


@pytest.mark.parametrize(("widths", "inside"), DEPTHS)
def test_growing_a_choice_is_choosing_more(widths: tuple[int, ...], inside: bool) -> None:
    stack = Stack.of(random_stack(1, widths=widths, inside=inside))
    gatherer = Gatherer(stack, [torch.tensor(1.0, dtype=torch.float64)] * len(widths))
    few = random_choice(stack, 0)
    wanted = [torch.rand(layer.b.shape) < 0.3 for layer in stack.layers]
    for mask in wanted:
        mask[2] = False  # context 2 asks for nothing, and stays as it was
    more = few.grown(wanted)
    rows = torch.tensor([0, 1, 3])
    grown = gatherer.regathered(gatherer.gather(few, stack), more, stack, rows)
    x = torch.randn(4, 5, dtype=torch.float64)
    torch.testing.assert_close(value(stack, grown, x), value(stack, gatherer.gather(more, stack), x))
    for mask, before, want in zip(more.kept(), few.kept(), wanted, strict=True):
        assert torch.equal(mask, before | want)
    for count, mask in zip(more.counts, more.kept(), strict=True):
        assert torch.equal(count, mask.sum(dim=1))


@pytest.mark.parametrize(("widths", "inside"), DEPTHS)
def test_multipliers_of_the_kept_units_become_multipliers_of_all(widths: tuple[int, ...], inside: bool) -> None:
    """Multipliers at the top of their boxes stay there: nothing is left for the repair to cut."""
    stack = Stack.of(random_stack(2, widths=widths, inside=inside))
    gatherer = Gatherer(stack, [torch.tensor(1.0, dtype=torch.float64)] * len(widths))
    choice = random_choice(stack, 5)
    kept = gatherer.gather(choice, stack)
    lam: list[torch.Tensor] = []
    for k in reversed(range(len(widths))):
        lam.insert(0, kept.box(k, lam[0] if lam else None))
    full = choice.full(lam, stack)
    cut = repaired(stack, Dual(full, tuple(one.offset for one in stack.norms), stack.images(stack.v)))
    for mine, theirs, mask, on in zip(full, cut.lam, choice.kept(), choice.on, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-12, atol=1e-12)
        assert (mine[~mask & ~on] == 0).all()


@pytest.mark.parametrize("grown", [False, True])
def test_shared_products_are_those_of_each_contexts_own_matrices(grown: bool) -> None:
    """Softplus layers over ReLU units take products with shared matrices; U + W diag(on) V follows the units."""
    net = random_stack(3, widths=(9, 7))
    stack = Stack.of(replace(net, layers=[net.layers[0], net.layers[1].changed(smoothing=0.5)]))
    gatherer = Gatherer(stack, [torch.tensor(1.0, dtype=torch.float64)] * 2)
    active = stack.preactivations(torch.full((4, 5), 0.2, dtype=torch.float64))[0] > 0
    every = torch.arange(9) % 3 == 0
    choice = Choice.of(
        [every.expand(4, -1), torch.ones(4, 7, dtype=torch.bool)], [active & ~every, active[:, :7] & False]
    )
    kept = gatherer.gather(choice, stack)
    if grown:
        wanted = [torch.zeros_like(active), torch.zeros(4, 7, dtype=torch.bool)]
        wanted[0][1:] = torch.arange(9) < 5
        choice = choice.grown(wanted)
        kept = gatherer.regathered(kept, choice, stack, torch.tensor([1, 2, 3]))
    U, W = kept.U[1], kept.W[1]
    assert isinstance(U, FoldedProduct)
    assert isinstance(W, ChosenColumns)
    shared = stack.layers[1].W.dense  # type: ignore[union-attr]
    own = shared[:, choice.index[0].clamp(max=8)].transpose(0, 1) * (choice.index[0] < 9)[:, None]
    folded = stack.layers[1].U.dense + torch.einsum(
        "hk,ck,kn->chn", shared, choice.on[0].double(), stack.layers[0].U.dense
    )  # type: ignore[union-attr]
    for matrix, expected in ((W, own), (U, folded)):
        x, y = torch.randn(4, expected.shape[2]).double(), torch.randn(4, 7).double()
        torch.testing.assert_close(dense(matrix), expected)
        torch.testing.assert_close(times(matrix, x), (expected @ x[..., None])[..., 0])
        torch.testing.assert_close(adjoint(matrix, y), (expected.mT @ y[..., None])[..., 0])
        rows = torch.tensor([2, 0])
        torch.testing.assert_close(turned(taken(matrix, rows)), expected[rows].mT)
