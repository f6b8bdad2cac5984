"""The tables of the positivity experiment: medians and quartiles over seeds, by arm and target."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from experiments.engine.tables import Row, Value, grouped, markdown, median_and_quartiles, quartiles

ARM = ("arm", "initialiser", "learning_rate")


def arm_rows(rows: Sequence[Row]) -> dict[tuple[Value, ...], list[Mapping[str, Value]]]:
    """Return the rows of each arm."""
    return grouped(rows, ARM)


def numbers(rows: Sequence[Mapping[str, Value]], column: str) -> list[float]:
    """Return a column's numbers, not finite ones included: a run that went astray counts."""
    return [float(value) for row in rows if isinstance(value := row.get(column), int | float)]


def in_nats(values: Sequence[float]) -> str:
    """Return `median [lower, upper]` with four decimals: likelihoods differ little beside their size."""
    low, middle, high = quartiles(values)
    return f"{middle:.4f} [{low:.4f}, {high:.4f}]"


def matrix(rows: Sequence[Row], column: str, show: Callable[[Sequence[float]], str] = median_and_quartiles) -> str:
    """Return `median [lower quartile, upper quartile] (seeds)` of a column: one line an arm, one column a target."""
    targets = list(dict.fromkeys(str(row["target"]) for row in rows))
    table: list[Row] = []
    for key, members in arm_rows(rows).items():
        line: Row = dict(zip(("arm", "initialiser", "step size"), (key[0], key[1], f"{key[2]:g}"), strict=True))
        for target in targets:
            values = numbers([row for row in members if row["target"] == target], column)
            line[target] = f"{show(values)} ({len(values)})" if values else "-"
        table.append(line)
    return markdown(table)


def rendered(rows: Sequence[Row], cells: Sequence[Mapping[str, Value]]) -> str:
    """Return all tables in Markdown."""
    parts = [
        "# Positivity",
        "Median [lower quartile, upper quartile] over seeds, with their number in parentheses.",
        "## Total variation to the target\n\n" + matrix(rows, "tv"),
        "## Negative log-likelihood of held-out points, nats\n\n" + matrix(rows, "nll", in_nats),
        "## Training time a seed, seconds\n\nSeeds of a block share one computation, and what else runs is not "
        "controlled: costs are compared by `python -m experiments.positivity.cost`.\n\n" + matrix(rows, "seconds"),
        missing(rows, cells),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def missing(rows: Sequence[Row], cells: Sequence[Mapping[str, Value]]) -> str:
    """Say which cells the table lacks: by arm and target, how many blocks of seeds there are."""
    columns = ("target", *ARM, "block")
    there = {tuple(row.get(column) for column in columns) for row in rows}
    lacking = [key for key in cells if tuple(key[column] for column in columns) not in there]
    if not lacking:
        return ""
    targets = list(dict.fromkeys(str(key["target"]) for key in cells))
    table: list[Row] = []
    for arm in dict.fromkeys(tuple(key[column] for column in ARM) for key in cells):
        line: Row = dict(zip(("arm", "initialiser", "step size"), (arm[0], arm[1], f"{arm[2]:g}"), strict=True))
        for target in targets:
            blocks = [key["block"] for key in cells if (key["target"], *(key[c] for c in ARM)) == (target, *arm)]
            done = sum((target, *arm, block) in there for block in blocks)
            line[target] = f"{done} / {len(blocks)}"
        table.append(line)
    text = f"## Missing\n\n{len(lacking)} of {len(cells)} cells have not been run; blocks of seeds finished:"
    return f"{text}\n\n{markdown(table)}"
