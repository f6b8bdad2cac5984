"""Contenders in training: a course is a configuration on an instance; courses that can be are trained side by side.

What a course comes to is kept at once, and so is the true optimum of an instance: an interrupted contest resumes, and
contenders that begin alike share their beginning. Processes that work side by side share the stacks out among them.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, final

from safetensors import torch as tensors
from torch import Tensor

from decision.learning import FocusedOptions, fit_focused
from decision.tasks import Data
from experiments.decision.deciding import optimum
from experiments.decision.instances import Instance, Sizes
from experiments.decision.models import FOCUSED, UNFOCUSED, Configuration, stack_of, train, train_side_by_side
from socicnn._files import locked, replacing
from socicnn.errors import ModelError, SolverError
from socicnn.nn import load, load_metadata, save
from socicnn.nn._network import Network


@contextmanager
def held(place: Path, *, wait: bool = True) -> Iterator[bool]:
    """Keep other processes from making the same file; say whether this one may, which it may not know without waiting.

    Where the file system knows no locks, all make it.

    Args:
        place: the file.
        wait: whether to wait for the process that is making it.
    """
    locks = place.parent / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    with (locks / place.stem).open("a") as handle:
        yield locked(handle.fileno(), wait=wait) or wait


LARGEST = 600  # models of a stack times inputs: larger stacks leave the cache, and are no faster


@final
@dataclass(frozen=True, eq=False)
class InstanceFiles:
    """An instance, drawn when it is first needed, and the folder of what was trained on it.

    Args:
        task: name of the task.
        n: number of inputs.
        sizes: of the data.
        seed: of the networks, the split and the batches.
        folder: of the files.
        version: of what makes them; see `versions`.
    """

    task: str
    n: int
    sizes: Sizes
    seed: int
    folder: Path
    version: dict[str, Any]

    @cached_property
    def drawn(self) -> Instance:
        """The task and its training data."""
        return Instance.of(self.task, self.n, self.sizes)

    @cached_property
    def validation(self) -> Data:
        """The validation data."""
        return self.drawn.validation()

    @cached_property
    def tuning(self) -> tuple[Tensor, Tensor]:
        """The contexts that choices are made on, and their least true costs."""
        theta = self.drawn.tuning_contexts()
        return theta, self.optimum(theta)[1]

    def optimum(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Return `deciding.optimum`, from its file where another contender has asked for it before."""
        made_of = [self.sizes.task_seed, self.version["protocol"], theta.numpy().tobytes().hex()]
        place = self.folder / f"{self.sizes.instance}-{self.task}-{self.n}-optimum-{_digest(made_of)}.safetensors"
        with held(place):
            if place.is_file():
                kept = tensors.load_file(place)
                return kept["x"], kept["F"]
            x, F = optimum(self.drawn.task, theta)
            with replacing(place) as draft:
                draft.write_bytes(tensors.save({"x": x.contiguous(), "F": F.contiguous()}))
            return x, F

    def place(self, model: str, loss: str, configuration: Configuration, share: float) -> Path:
        """Return where the model is kept that a configuration is trained to for a share of its epochs."""
        made_of: list[Any] = [configuration, vars(self.sizes), self.version["training"]]
        if self.seed != self.sizes.instance:
            made_of.append(self.seed)
        if share != self.sizes.share:
            made_of.append({"share": share})
        name = f"{self.sizes.instance}-{self.task}-{self.n}-{model}-{loss}-{_digest(made_of)}.safetensors"
        return self.folder / name


@final
@dataclass(frozen=True, eq=False)
class Course:
    """A model's configuration on an instance, trained for a share of its epochs.

    Args:
        files: the instance, and where the result is kept.
        model: name of the model.
        loss: `seed`, or a loss of `decision.fit`.
        configuration: the configuration.
        share: share of the epochs, of the iterations of a finish, and of the steps end to end.
    """

    files: InstanceFiles
    model: str
    loss: str
    configuration: Configuration
    share: float

    @cached_property
    def place(self) -> Path:
        """Where the result is kept."""
        return self.files.place(self.model, self.loss, self.configuration, self.share)

    @property
    def stack(self) -> tuple[str, ...]:
        """What courses have in common that are trained side by side."""
        return self.model, self.loss, str(self.share), stack_of(self.configuration)

    @property
    def record(self) -> dict[str, Any]:
        """What is kept with the model.

        `labels` asked for beside the training data, `cpu_s`, `judging_cpu_s`, what `failed` if anything did, and what a
        judge added.
        """
        return {"labels": 0, "cpu_s": 0.0, "judging_cpu_s": 0.0, "failed": "", **load_metadata(self.place)}

    def result(self) -> Network:
        """Return the trained model."""
        return load(self.place)

    def keep(self, model: Network, record: dict[str, Any]) -> None:
        """Keep a trained model with its record."""
        self.place.parent.mkdir(parents=True, exist_ok=True)
        save(model, self.place, record)

    def beginning(self) -> Course | None:
        """Return what a course goes through before its steps end to end; None if it has no such steps."""
        if not self.configuration.get("focus"):
            return None
        rest = {part: value for part, value in self.configuration.items() if part != "focus"}
        return replace(self, model=UNFOCUSED if self.model == FOCUSED else self.model, configuration=rest)


def train_courses(courses: Sequence[Course]) -> None:
    """Train what is not kept yet, courses of one stack side by side, and keep each result before anything else is done.

    CPU seconds of a stack are divided in the ratio of the seconds in the histories: an equal share of the steps, and
    the finish of each. A course with steps end to end goes on from its beginning.
    """
    left = [course for course in courses if not course.place.is_file()]
    begun = [course.beginning() or course for course in left]
    stacks: dict[tuple[str, ...], list[Course]] = {}
    # kept ones too, and in one order: so every process parts the stacks alike
    every = {begins.place: begins for course in courses for begins in (course.beginning() or course,)}
    for place in sorted(every) if left else ():
        stacks.setdefault(every[place].stack, []).append(every[place])
    _train_stacks([part for members in stacks.values() for part in _parts(members)])
    for course, beginning in zip(left, begun, strict=True):
        if beginning is not course:
            with held(course.place):
                if not course.place.is_file():
                    _go_on(course, beginning)


def _parts(courses: Sequence[Course]) -> list[Sequence[Course]]:
    """Return stacks of about equal size that are small enough."""
    count = math.ceil(len(courses) * courses[0].files.n / LARGEST)
    size = math.ceil(len(courses) / count)
    return [courses[first : first + size] for first in range(0, len(courses), size)]


def _train_stacks(stacks: Sequence[Sequence[Course]]) -> None:
    """Train stacks, first those that no other process is training; wait for the others, and train what they left."""
    busy = list(stacks)
    for wait in (False, True):
        for members in list(busy):
            with held(members[0].place, wait=wait) as may:
                if not may:
                    continue
                busy.remove(members)
                still = [course for course in members if not course.place.is_file()]
                if still:
                    _train_stack(still)


def _train_stack(courses: Sequence[Course]) -> None:
    first, data = courses[0], [course.files.drawn.train for course in courses]
    seeds, configurations = [course.files.seed for course in courses], [course.configuration for course in courses]
    started = time.process_time()
    fitted = train_side_by_side(first.model, first.loss, data, seeds, configurations, first.share)
    spent = time.process_time() - started
    whole = sum(trained.history.seconds for trained in fitted)
    for course, trained in zip(courses, fitted, strict=True):
        seconds = spent * trained.history.seconds / whole
        course.keep(trained.model, {"labels": 0, "cpu_s": seconds, "failed": trained.failed})


def _go_on(course: Course, beginning: Course) -> None:
    model, begun, started = beginning.result(), beginning.record, time.process_time()
    labels, failed = 0, begun["failed"]
    if not failed:
        try:
            labels = focus(model, course.files.drawn, course.configuration, course.share, course.files.seed)
        except (ModelError, SolverError) as error:
            failed = str(error)
    seconds = begun["cpu_s"] + time.process_time() - started
    course.keep(model, {"labels": labels, "cpu_s": seconds, "failed": failed})


def fitted(
    model: str, loss: str, drawn: Instance, configuration: Configuration, share: float, seed: int
) -> tuple[Network, int]:
    """Return what a course comes to, without keeping it, and the labels that it asked for."""
    network = train(model, loss, drawn.train, seed, configuration, share).model
    return network, focus(network, drawn, configuration, share, seed)


def focus(network: Network, drawn: Instance, configuration: Configuration, share: float, seed: int) -> int:
    """Train a network in place on the true cost of its decisions through a `DecisionLayer`; return the labels.

    There are 0 unless the configuration has steps end to end. A gradient of the true cost counts as n + 1 labels.
    """
    if not configuration.get("focus"):
        return 0
    steps, exact = max(1, round(share * configuration["focus"])), FocusedOptions(gradient="exact")
    return fit_focused(network, drawn.task, drawn.train, steps=steps, seed=seed, progress=False, options=exact).labels


def _digest(parts: list[Any]) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:10]
