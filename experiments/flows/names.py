"""How tables and figures of the flows call an arm."""

from __future__ import annotations

from experiments.engine.tables import Value
from experiments.mechanism.numbers import number

RECIPES = {"lift": "lift", "softplus": "direct softplus", "projected": "projection"}
STARTS = {"seed": "authors' start", "principled": "principled start"}


def arm(recipe: Value, start: Value, learning_rate: Value, blocks: Value) -> str:
    """Return the name of an arm, in which what all arms of a figure mostly share is left out.

    >>> arm("lift", "seed", 0.001, 1), arm("softplus", "principled", 0.005, 3)
    ("lift, authors' start", 'direct softplus, principled start, step 0.005, 3 blocks')
    """
    parts = [RECIPES[str(recipe)], STARTS[str(start)]]
    parts += [f"step {learning_rate}"] if number(learning_rate) != 1e-3 else []
    parts += [f"{blocks} blocks"] if number(blocks) != 1 else []
    return ", ".join(parts)
