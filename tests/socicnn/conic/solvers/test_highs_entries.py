"""What HiGHS does with entries that it drops by default, and what it may not print."""

import os
from types import ModuleType

import pytest

from socicnn._compile import value_program
from socicnn.conic.solvers._highs import _greet
from socicnn.errors import SolverError
from socicnn.frozen import FrozenNet, Layer, Output


@pytest.mark.parametrize("small", [1e-9, 1e-10, 2e-12])
def test_highs_keeps_small_entries(small: float) -> None:
    """f(x) = small relu(x / small): the hidden weight, which HiGHS drops by default, is the whole answer."""
    pytest.importorskip("highspy")
    net = FrozenNet([Layer(None, [[1 / small]], [0.0]), Layer([[small]], [[0.0]], [0.0])], Output([1.0], [0.0]))
    solution = value_program(net).at([3.0]).solve("highs")
    assert solution.value == pytest.approx(3.0)


def test_highs_refuses_entries_that_it_would_drop() -> None:
    pytest.importorskip("highspy")
    net = FrozenNet([Layer(None, [[1.0]], [0.0]), Layer([[1e-13]], [[0.0]], [0.0])], Output([1e13], [0.0]))
    with pytest.raises(SolverError, match="would drop 1 entries of A of size at most"):
        value_program(net).at([3.0]).solve("highs")


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    """Neither by the real package, nor by one that prints when its first object is made, as version 1.16 does."""
    pytest.importorskip("highspy")
    net = FrozenNet([Layer(None, [[1.0]], [0.0])], Output([1.0], [0.0]))
    assert value_program(net).at([3.0]).solve("highs").value == pytest.approx(3.0)
    loud = ModuleType("loud")
    loud.Highs = lambda: os.write(1, b"Running HiGHS\n")  # type: ignore[attr-defined]
    _greet(loud)
    assert capfd.readouterr() == ("", "")
    os.write(1, b"heard")
    assert capfd.readouterr().out == "heard"
