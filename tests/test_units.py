"""Contract: nothing has a unit, from the fit to the decision and its proof.

x, theta and y times powers of two, or shifted, give the same decisions in the new units, and the same verdicts.
"""

from functools import cache

import numpy as np
import pytest
import torch

from decision import Box, Decision, decide
from socicnn import SOCICNN
from socicnn.training import fit
from verify import Certificate, certify

DRAW = np.random.default_rng(0)
X = np.round(DRAW.uniform(size=(80, 3)) * 2**10) / 2**10  # on a grid, so that shifts lose nothing
THETA = np.round(DRAW.normal(size=(80, 2)) * 2**10) / 2**10
Y = np.round((np.square(X - 0.3 * THETA[:, :1]).sum(axis=1) + X[:, 0]) * 2**10) / 2**10
COUNT = 5  # contexts that are decided
Unit = tuple[float, float]  # values times the first, plus the second


def moved(values: np.ndarray, unit: Unit) -> np.ndarray:
    return values * unit[0] + unit[1]


@cache
def run(
    x: Unit = (1.0, 0.0), theta: Unit = (1.0, 0.0), y: Unit = (1.0, 0.0), rtol: float = 1e-9
) -> tuple[Decision, Certificate]:
    draw = torch.Generator().manual_seed(0)
    model = SOCICNN(3, (5,), (3,), (2,), context_features=2, dtype=torch.float64, generator=draw)
    fit(model, (moved(X, x), moved(THETA, theta), moved(Y, y)), epochs=15, batch_size=16, progress=False)
    model = model.finalise()
    region = Box(3, *(moved(np.full(3, end), x) for end in (0.0, 1.0)))
    contexts = moved(THETA[:COUNT], theta)
    answer = decide(model, region, contexts, rtol=rtol)
    return answer, certify(model, moved(X[:COUNT], x), contexts, proof=True)


def compare(x: Unit, theta: Unit, y: Unit, *, tolerance: float, flat: float, rtol: float = 1e-9) -> None:
    """Compare verdicts, values and (to `flat`) decisions with those in plain units."""
    (plain, proof), (other, other_proof) = run(rtol=rtol), run(x, theta, y, rtol)
    assert bool(plain.certified.all())
    assert bool(other.certified.all())
    assert proof.ok
    assert other_proof.ok
    back = (other.x.numpy() - x[1]) / x[0]
    np.testing.assert_allclose(back, plain.x.numpy(), rtol=0, atol=flat)
    np.testing.assert_allclose((other.value.numpy() - y[1]) / y[0], plain.value.numpy(), rtol=0, atol=tolerance)
    np.testing.assert_allclose((other_proof.forward - y[1]) / y[0], proof.forward, rtol=0, atol=tolerance)
    assert other.outside is not None
    assert plain.outside is not None
    assert other.outside.tolist() == plain.outside.tolist()


@pytest.mark.parametrize("power", [-40, -3, 40])
@pytest.mark.parametrize("what", ["x", "theta", "y", "all"])
def test_powers_of_two(what: str, power: int) -> None:
    units = {name: (2.0**power if what in (name, "all") else 1.0, 0.0) for name in ("x", "theta", "y")}
    compare(**units, tolerance=1e-9, flat=1e-6)


@pytest.mark.parametrize("offset", [2.0**12, 2.0**20, 2.0**31])
@pytest.mark.parametrize("what", ["x", "theta", "y"])
def test_shifts(what: str, offset: float) -> None:
    """A value that is off by 2e-6 moves a minimiser, where f is flat, by the root of that.

    Beside it, the offset leaves this much to numbers of its size.
    """
    units = {name: (1.0, offset if what == name else 0.0) for name in ("x", "theta", "y")}
    compare(**units, tolerance=2e-6 + 8 * 2.0**-52 * offset, flat=2e-3, rtol=1e-6)
