"""Slices of a flow's loss through the end of a lift, with the paths of both runs: figure 15 of the lift's paper.

python -m experiments.flows.landscape --preset tiny|short|paper [--out FILE] [--render]

A lift and direct softplus are trained from one seed, as for figure 14. Four planes (section 5.3; directions normalised
filter by filter, Li et al., 2018): `ends`, of plain weights, through both ends and along what the paths add to it;
`lifted`, of the lift's own tensors, the two leading principal components of its path; `random`, of plain weights, two
random directions through the lift's end, and `random direct` through direct softplus's. The loss is that over held-out
points; it is missing where a Hessian is not positive definite, for there the map is no flow. A row is a point of a
plane, a noted step with its projection, or a point of the segment from direct softplus's end to the lift's.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from experiments.engine.options import options
from experiments.engine.sweep import Cell
from experiments.engine.tables import Row, read_table
from experiments.flows.cells import begun
from experiments.flows.plots import slices
from experiments.positivity.jobs import BATCHES, HELD_OUT, SEED_START, TRAINING, generator
from socicnn.density import DensityOptions, Law, PotentialFlow, cloud, fit
from socicnn.positivity import recipe as make_recipe
from socicnn.positivity.diagnostics import Plane, snapshot

VERSION = 1  # goes up when the job changes
DIRECTIONS = 5  # generator of a seed: of random directions
REACH = {"ends": 1.25, "random": 1.0, "random direct": 1.0, "lifted": 1.25}  # farthest of a path, or filter norms
Tensors: TypeAlias = dict[str, Tensor]


@dataclass(frozen=True)
class Preset:
    """What is run.

    Args:
        hidden: widths.
        steps: steps of both trainings.
        batch: points per step.
        notes: noted steps.
        points: held-out points, and points that the lift is finalised on.
        grid: points of a plane along each axis.
    """

    hidden: tuple[int, ...]
    steps: int
    batch: int
    notes: int
    points: int
    grid: int


PRESETS = {
    "tiny": Preset((6, 6), steps=12, batch=16, notes=6, points=64, grid=3),
    "short": Preset((64, 64, 64), steps=3000, batch=64, notes=30, points=512, grid=15),
    "paper": Preset((64, 64, 64), steps=6000, batch=64, notes=40, points=1024, grid=21),
}


@dataclass
class Course:
    """What was noted of a training.

    Args:
        flow: the flow that is trained.
        train: points that it is finalised on.
        noted: the steps to note.
    """

    flow: PotentialFlow
    train: Tensor
    noted: Sequence[int]

    def __post_init__(self) -> None:
        self.plain: list[Tensors] = [snapshot(self.flow.finalise(self.train))]
        self.own: list[Tensors] = [snapshot(self.flow)]

    def note(self, step: int, _: Any) -> None:
        """Keep the tensors of a noted step."""
        if step in self.noted:
            self.plain.append(snapshot(self.flow.finalise(self.train)))
            self.own.append(snapshot(self.flow))


def sliced(law: str, start: str, seed: int, *, settings: Mapping[str, Any], version: int) -> list[Row]:
    """Train both flows and return the rows of all planes.

    Args:
        law: name of a law in the plane.
        start: initialiser of the networks, or `seed`.
        seed: the seed.
        settings: those of the preset, learning_rate, and the recipes' settings by name.
        version: of this function.
    """
    source = cloud(law)  # type: ignore[arg-type]  # checked by the registry
    train = source.sample(settings["points"], generator(seed, TRAINING))
    test = source.sample(settings["points"], generator(0, HELD_OUT))
    lift, direct = (trained(source, train, recipe, start, seed, settings) for recipe in ("lift", "softplus"))
    plain, own = loss_of(lift.flow.finalise(train), train, test), loss_of(lift.flow, train, test)
    draw = generator(seed, DIRECTIONS)
    both = {"lift": lift.plain, "softplus": direct.plain}
    planes: dict[str, tuple[Plane, Callable[[Tensors], float], dict[str, list[Tensors]]]] = {
        "ends": (Plane.between(lift.plain[-1], direct.plain[-1], [*lift.plain, *direct.plain]), plain, both),
        "lifted": (Plane.principal(lift.own[-1], lift.own), own, {"lift": lift.own}),
        "random": (Plane.random(lift.plain[-1], draw), plain, {}),
        "random direct": (Plane.random(direct.plain[-1], draw), plain, {}),
    }
    rows: list[Row] = []
    for name, (plane, loss, courses) in planes.items():
        projected = {recipe: plane.project(points) for recipe, points in courses.items()}
        reach = REACH[name] * float(np.max([np.abs(path).max() for path in projected.values()] or [1.0]))
        axis = np.linspace(-reach, reach, settings["grid"])
        values = plane.slice(loss, axis, axis).loss
        rows += [
            {"kind": "grid", "plane": name, "alpha": alpha, "beta": beta, "loss": values[i, j]}
            for i, alpha in enumerate(axis)
            for j, beta in enumerate(axis)
        ]
        for recipe, points in courses.items():
            shared: Row = {"kind": "path", "plane": name, "recipe": recipe, "kept": kept_share(plane, points)}
            for step, (alpha, beta), tensors in zip(lift.noted, projected[recipe], points, strict=True):
                rows.append({**shared, "step": step, "alpha": alpha, "beta": beta, "loss": loss(tensors)})
    for share in np.linspace(0, 1, settings["grid"]):
        between = {name: t + share * (lift.plain[-1][name] - t) for name, t in direct.plain[-1].items()}
        rows.append({"kind": "segment", "plane": "ends", "alpha": share, "loss": plain(between)})
    return [{name: value for name, value in row.items() if not is_nan(value)} for row in rows]


def trained(source: Law, train: Tensor, recipe: str, start: str, seed: int, settings: Mapping[str, Any]) -> Course:
    """Return the course of one training; weights and batches are those of `experiments.flows`."""
    steps, notes = settings["steps"], settings["notes"]
    noted = [0, *sorted({max(round(steps * (k / notes) ** 2), 1) for k in range(1, notes + 1)})]
    flow = begun(train, settings["hidden"], {"given": recipe, **settings["recipes"][recipe]}, start, 1, seed)
    assert isinstance(flow, PotentialFlow)
    course = Course(flow, train, noted)
    fit(
        flow,
        source,
        seed=generator(seed, BATCHES),
        steps=steps,
        batch_size=settings["batch"],
        learning_rate=settings["learning_rate"],
        note_every=steps,
        options=DensityOptions(on_step=course.note),
    )
    return course


def is_nan(value: object) -> bool:
    """Return whether a value is a number that is missing; a table leaves it empty."""
    return isinstance(value, float) and math.isnan(value)


def loss_of(flow: PotentialFlow, train: Tensor, test: Tensor) -> Callable[[Tensors], float]:
    """Return the held-out nats as a function of the flow's tensors; nan where a Hessian is not positive definite.

    Args:
        flow: the flow; a lift is finalised on the training points first.
        train: training points.
        test: held-out points.
    """
    probe = copy.deepcopy(flow)

    @torch.no_grad()
    def loss(tensors: Tensors) -> float:
        probe.load_state_dict({**probe.state_dict(), **tensors})
        plain = probe.finalise(train) if probe.needs_data else probe
        z, hessian = plain.transport_and_hessian(test)
        factor, failed = torch.linalg.cholesky_ex(hessian)
        if failed.any():
            return math.nan
        log_det = 2 * factor.diagonal(dim1=-2, dim2=-1).log().sum(dim=-1)
        return float((0.5 * z.square().sum(dim=-1) - log_det).mean()) + 0.5 * flow.features * math.log(2 * math.pi)

    return loss


def kept_share(plane: Plane, points: Sequence[Tensors]) -> float:
    """Return the share of the points' squared distances from the centre that the plane holds."""
    whole = inside = 0.0
    for (alpha, beta), point in zip(plane.project(points), points, strict=True):
        for name, centre in plane.centre.items():
            whole += float((point[name] - centre).square().sum())
            inside += float((alpha * plane.first[name] + beta * plane.second[name]).square().sum())
    return inside / whole


def cells(name: str) -> list[Cell]:
    """Return the one cell."""
    settings: dict[str, Any] = {**vars(PRESETS[name]), "learning_rate": 1e-3}
    settings |= {"hidden": list(settings["hidden"])}
    settings |= {"recipes": {recipe: make_recipe(recipe).config() for recipe in ("lift", "softplus")}}
    key = {"law": "eight_gaussians", "start": SEED_START, "seed": 0}
    return [Cell(key, sliced, {"settings": settings, "version": VERSION})]


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line and run."""

    def extend(parser: Any) -> None:
        parser.add_argument("--render", action="store_true", help="draw the figure of the rows, run nothing")

    chosen = options("flows_landscape", "Slice the loss of flows.", argv, presets=tuple(PRESETS), extend=extend)
    rows = read_table(chosen.out) if chosen.others.render else chosen.run(cells(chosen.preset)).rows
    if rows and not chosen.status:
        print(slices(rows, chosen.out.with_suffix(".png")))


if __name__ == "__main__":
    main()
