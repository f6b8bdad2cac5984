import pytest

import decision.sets
from decision.sets import FeasibleSet
from tests.decision.sets.test_box import TestBox as BoxCases
from tests.decision.sets.test_budget import TestBudget as BudgetCases
from tests.decision.sets.test_simplex import TestSimplex as SimplexCases


def test_every_registered_set_has_a_contract_test() -> None:
    tested = {type(X) for contract in (BoxCases, BudgetCases, SimplexCases) for X in contract().cases()}
    options = {"budget": {"total": 1.0}}
    made = {type(decision.sets.make(name, 2, **options.get(name, {}))) for name in decision.sets.names()}
    assert tested == made == set(FeasibleSet.__subclasses__())


def test_an_unknown_name_lists_what_there_is() -> None:
    with pytest.raises(ValueError, match="box, budget, simplex"):
        decision.sets.make("ball", 3)


def test_a_foreign_option_is_named() -> None:
    with pytest.raises(ValueError, match="total"):
        decision.sets.make("simplex", 3, total=1.0)


@pytest.mark.parametrize("n", [0, -1, 2.0, True, "3"])
def test_impossible_sizes_are_refused(n: object) -> None:
    with pytest.raises(ValueError, match="integer >= 1"):
        decision.sets.make("simplex", n)
