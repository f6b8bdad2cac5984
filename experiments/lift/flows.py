"""The rows on flows, from the kept tables of `experiments.flows`."""

from __future__ import annotations

import math

from experiments.engine.options import RESULTS
from experiments.engine.tables import Row, grouped, read_table
from experiments.flows.names import arm
from experiments.flows.tables import column, entropy_of_eight_gaussians, median
from experiments.lift.claims import Claim
from experiments.mechanism.numbers import number
from experiments.mechanism.tables import of

LAWS = {"eight_gaussians": "8-Gaussians", "two_spirals": "2-spirals"}
TABLES = {"magic": "magic (10-d)", "cardiotocography": "Cardiotocography (20-d)"}
NOT_RUN = "not run"


class FlowFits:
    """Held-out nats by seed."""

    def __init__(self, rows: list[Row] | None = None) -> None:
        kept = RESULTS / "flows.csv"
        self.rows = (read_table(kept) if kept.is_file() else []) if rows is None else rows

    def by_seed(
        self, law: str, recipe: str, start: str = "seed", rate: float = 1e-3, blocks: int = 1
    ) -> dict[int, float]:
        """Return the nats of each seed of an arm."""
        members = of(self.rows, law=law, recipe=recipe, start=start, learning_rate=rate, blocks=blocks)
        return {int(number(row["seed"])): number(row["nll"]) for row in members}

    def nats(self, law: str, recipe: str, start: str = "seed", rate: float = 1e-3, blocks: int = 1) -> str:
        """Return `median [interval] (seeds)`; below six seeds the least and the largest are the interval."""
        values = list(self.by_seed(law, recipe, start, rate, blocks).values())
        if not values:
            return NOT_RUN
        return f"{median(values)} ({len(values)})" if len(values) > 1 else f"{values[0]:.4g} (1)"

    def wins(self, law: str, start: str = "seed", rate: float = 1e-3) -> str:
        """Return in how many paired seeds the lift is below direct softplus at the same step size."""
        lift, direct = (self.by_seed(law, recipe, start, rate) for recipe in ("lift", "softplus"))
        both = lift.keys() & direct.keys()
        return f"{sum(lift[seed] < direct[seed] for seed in both)} of {len(both)}" if both else NOT_RUN

    def apart(self, law: str) -> str:
        """Return how many seeds of the lift are below every one of direct softplus."""
        lift, direct = self.by_seed(law, "lift"), self.by_seed(law, "softplus")
        if not lift or not direct:
            return NOT_RUN
        return f"{sum(value < min(direct.values()) for value in lift.values())} of {len(lift)}"

    def compared(self, law: str) -> str:
        """Return the nats of all arms that were run on a law, and in how many pairs the lift is below."""
        arms = grouped(of(self.rows, law=law), ("recipe", "start", "learning_rate", "blocks"))
        parts = [
            f"{arm(*key)} {self.nats(law, *map(str, key[:2]), number(key[2]), int(number(key[3])))}" for key in arms
        ]
        for start, rate, at in (
            ("seed", 1e-3, "authors' start"),
            ("seed", 5e-3, "authors' start at five times the step"),
            ("principled", 1e-3, "principled start"),
            ("principled", 5e-3, "principled start at five times the step"),
        ):
            if (wins := self.wins(law, start, rate)) != NOT_RUN:
                parts.append(f"the lift below direct softplus in {wins} pairs from the {at}")
        return "; ".join(parts) or NOT_RUN

    def moved(self) -> str:
        """Return the change of the nats when lifts are emitted from the held-out points: the median, the largest."""
        rows = [row for row in of(self.rows, recipe="lift") if row["law"] in LAWS]
        changes = [number(row["nll_emitted_from_test"]) - number(row["nll"]) for row in rows]
        changes = [change for change in changes if not math.isnan(change)]
        return f"{median(changes)}, at most {max(map(abs, changes)):.2g} ({len(changes)})" if changes else NOT_RUN


class Slices:
    """The kept slices of the loss."""

    def __init__(self, rows: list[Row] | None = None) -> None:
        kept = RESULTS / "flows_landscape.csv"
        self.rows = (read_table(kept) if kept.is_file() else []) if rows is None else rows

    def losses(self, kind: str, plane: str, **others: str) -> list[float]:
        """Return the losses of rows in their order."""
        return [number(row.get("loss")) for row in of(self.rows, kind=kind, plane=plane, **others)]

    def ends(self) -> dict[str, float]:
        """Return the loss at both ends."""
        return {recipe: self.losses("path", "ends", recipe=recipe)[-1] for recipe in ("lift", "softplus")}

    def lower(self, plane: str) -> str:
        """Return by how much the loss at the centre is above the least on a plane."""
        values = self.losses("grid", plane)
        return f"{values[len(values) // 2] - min(value for value in values if not math.isnan(value)):.2g}"

    def kept(self, plane: str, recipe: str) -> float:
        """Return the share of a path's squared distances that its plane holds."""
        return column(of(self.rows, kind="path", plane=plane, recipe=recipe), "kept")[0]

    def summary(self) -> str:
        """Return what the planes show, or that they were not run."""
        if not self.rows:
            return NOT_RUN
        ends, segment = self.ends(), self.losses("segment", "ends")
        rise = max(segment) - max(segment[0], segment[-1])
        late = self.losses("path", "ends", recipe="softplus")[-6:]
        grid = self.losses("grid", "lifted")
        steps = max(column(of(self.rows, kind="path"), "step"))
        return (
            f"8-Gaussians, seed 0, {steps:,.0f} steps: lift {ends['lift']:.2f}, direct softplus "
            f"{ends['softplus']:.2f}<br>segment between the ends: the loss rises by {max(rise, 0.0):.2g} above the "
            f"higher end; over its last six noted steps direct softplus falls from {late[0]:.3f} to {late[-1]:.3f}<br>"
            f"random planes: the least loss is below that at the centre by {self.lower('random')} (lift) and "
            f"{self.lower('random direct')} (direct softplus)<br>"
            f"the planes hold {self.kept('ends', 'lift'):.0%} and {self.kept('ends', 'softplus'):.0%} of the squared "
            f"distances of the two paths from the lift's end, {self.kept('lifted', 'lift'):.0%} in the lift's own "
            f"tensors, where {sum(map(math.isnan, grid))} of {len(grid)} points are no flow"
        )


def claims() -> list[Claim]:
    """Return the rows; nats are medians over seeds, with their 95 % interval or, below six seeds, their range."""
    fits = FlowFits()
    pairs = "<br>".join(f"{name}: {fits.compared(law)}" for law, name in LAWS.items())
    tables = "<br>".join(f"{name}: {fits.compared(law)}" for law, name in TABLES.items())
    return [
        Claim(
            "The lift's median held-out loss lies well below direct softplus's over paired seeds",
            "figure 14, 5.2.1",
            "100 paired seeds; no numbers",
            pairs,
            "confirmed in part",
            "from the authors' start the lift is below on the 2-spirals in every pair, by 0.17 nats at their step and "
            "by 0.13 at five times that; on the 8-Gaussians the two are even at their step, and projection, at the "
            "same cost, is below both there and even with the lift on the 2-spirals. From the principled start it is "
            "the other way round: projection and direct softplus are below the lift on both laws, at either step, and "
            "at the larger one lower than anything from the authors' start",
        ),
        Claim(
            "Most seeds of the lift reach a loss that essentially no seed of direct softplus reaches",
            "figure 14",
            "a large majority; no number",
            "below every seed of direct softplus: "
            + "; ".join(f"{name} {fits.apart(law)}" for law, name in LAWS.items()),
            "confirmed in part",
            "on the 2-spirals all do, on the 8-Gaussians a fifth",
        ),
        Claim(
            "On the 8-Gaussians the lift descends to 0.58 nats, where direct softplus stalls at 3.54",
            "figure 15",
            "0.58 and 3.54, one seed",
            f"minus log p of the law itself over 1,024 held-out points: {entropy_of_eight_gaussians():.2f}; lift "
            f"{fits.nats('eight_gaussians', 'lift')}, direct softplus {fits.nats('eight_gaussians', 'softplus')}",
            "not decidable here",
            "the entropy of the law with radius 4 and deviation 0.5, divided by 1.414, is 2.83, and no density has a "
            "lower expected loss; at which scale 0.58 was measured the paper does not say",
        ),
        Claim(
            "In plain weights direct softplus is pinned to a plateau; in the lift's own tensors its path descends a "
            "valley; random planes look like bowls",
            "figures 1 and 15, 5.2.2, 5.3",
            "pictures",
            Slices().summary(),
            "confirmed in part",
            "one seed, half of the paper's steps: the lift's path descends one valley, in a plane that holds little of "
            "it, and random planes are bowls; but direct softplus is on no plateau, it falls as fast as the lift to "
            "within 0.03 nats of it, at another place, with a barrier between",
        ),
        Claim(
            "At five blocks and 21 dimensions the lift is below a published convex potential flow",
            "figure 16, 5.2.3",
            "HEPMASS; curves",
            tables,
            "not decidable here",
            "HEPMASS is not at hand; three seeds and 1,000 steps on two other tables: the recipes' medians are 0.2 and "
            "0.7 nats apart, the seeds of one recipe up to 1.9, and no order holds in all three",
        ),
    ]
