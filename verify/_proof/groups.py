"""Values of a term's groups as values of its rows, and guesses of its dual point, in NumPy or in torch.

A branch gamma sum_i ||p_i|| has a vector u_i with ||u_i|| <= 1 for each group i of its rows. A check needs none of it:
it takes the best u, which gives the branch's own value.
"""

from __future__ import annotations

from socicnn._margins import TINY, group_sums, relative_margin
from verify._proof.columns import TermColumns, Values


def spread(term: TermColumns, values: Values) -> Values:
    """Return values of the groups, shape `(groups, N)`, as values of their rows."""
    shape = (len(values), term.rows, values.shape[1])
    return term.xp.broadcast_to(values[:, None, :], shape).reshape(-1, shape[2])


def row_weight(term: TermColumns) -> Values:
    """Return the weights of a branch as weights of its rows, shape `(rows in all, N)`; a common one is one row."""
    if term.weight.ndim == 1:
        return term.weight[None]
    return term.weight if len(term.weight) == 1 else spread(term, term.weight)


def in_ball(term: TermColumns, guess: Values) -> Values:
    """Return a guess of u, shape `(rows in all, N)`, with ||u|| <= 1 in each group in real arithmetic."""
    length = term.xp.sqrt(group_sums(guess**2, term.rows) + TINY)
    longest = term.xp.maximum(length, term.xp.ones_like(length))
    return guess * spread(term, (1 - relative_margin(term.rows + 8)) / longest)
