import pytest

import decision.sets
from decision.sets import FeasibleSet, OracleSet
from tests.support.sets import boxes, budgets, simplices


def test_every_registered_set_has_cases_for_the_contract() -> None:
    tested = {type(X) for X in (*boxes(), *budgets(equality=True), *simplices())}
    options = {"budget": {"total": 1.0}}
    made = {type(decision.sets.make(name, 2, **options.get(name, {}))) for name in decision.sets.names()}
    assert tested == made == set(FeasibleSet.__subclasses__()) - {OracleSet}  # that one is made of given oracles


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
