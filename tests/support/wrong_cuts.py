"""Outer cuts that are wrong: what is proven must not rest on them."""

from typing import Any

import pytest

from verify._optimum import outer_cuts


def raise_cuts(monkeypatch: pytest.MonkeyPatch, by: float) -> None:
    """Make every cut d'u + by <= s_0 in place of d'u <= s_0."""
    kept = outer_cuts.model

    def wrong(*args: Any) -> Any:
        highspy, solver = kept(*args)
        return highspy, _Raised(solver, by)

    monkeypatch.setattr(outer_cuts, "model", wrong)


class _Raised:
    """A model of HiGHS with such cuts."""

    def __init__(self, solver: Any, by: float) -> None:
        self._solver, self._by = solver, by

    def __getattr__(self, name: str) -> Any:
        return getattr(self._solver, name)

    def addRows(self, count: int, least: Any, most: Any, *rest: Any) -> Any:
        return self._solver.addRows(count, least, most - self._by, *rest)
