"""What the jobs of experiment 3 share: a task with its data, the seeds of the data, and where models are kept."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from torch import Tensor

from decision import tasks
from decision.tasks import Data, Task
from experiments.decision.models import Configuration

TRAIN, VALIDATION, TEST, FRESH = 1, 2, 3, 4  # seeds of the data; nothing was shaped with FRESH in view
APART = 1000  # between the seeds of one instance and the next


@final
@dataclass(frozen=True)
class Sizes:
    """How much data there is.

    Args:
        task_seed: seed of the task's arrays.
        instance: which instance: each has a task and data of its own; 0 is the one that configurations were shaped on.
        contexts: training contexts, and as many for validation.
        candidates: labelled candidates of each.
        tests: test contexts.
        tuning: validation contexts that a configuration is judged on.
        tuning_share: share of the epochs that it is trained for.
        share: share of the epochs that a model is trained for.
        exact: test contexts that large networks are decided exactly for.
    """

    task_seed: int = 2026
    instance: int = 0
    contexts: int = 1000
    candidates: int = 64
    tests: int = 200
    tuning: int = 100
    tuning_share: float = 0.3
    share: float = 1.0
    exact: int = 20


@final
@dataclass(frozen=True)
class Instance:
    """A task with its data."""

    task: Task
    train: Data
    sizes: Sizes

    @classmethod
    def of(cls, name: str, n: int, sizes: Sizes) -> Instance:
        """Draw the task and its training data."""
        task = tasks.make(name, features=n, seed=sizes.task_seed + APART * sizes.instance)
        return cls(task, task.sample(sizes.contexts, sizes.candidates, seed=TRAIN + APART * sizes.instance), sizes)

    def draw(self, kind: int, count: int) -> Tensor:
        """Return contexts of one kind: `TEST`, `FRESH` or `VALIDATION`."""
        return self.task.sample_contexts(count, seed=kind + APART * self.sizes.instance)

    def validation(self) -> Data:
        """Return the validation data."""
        return self.task.sample(
            self.sizes.contexts, self.sizes.candidates, seed=VALIDATION + APART * self.sizes.instance
        )

    def tuning_contexts(self) -> Tensor:
        """Return the contexts that configurations are judged on."""
        return self.draw(VALIDATION, self.sizes.contexts)[: self.sizes.tuning]


def model_file(models: str, task: str, n: int, model: str, loss: str, seed: int) -> Path:
    """Return where a trained model is kept."""
    return Path(models) / f"{task}-{n}-{model}-{loss}-{seed}.safetensors"


def finalist_file(
    models: str, task: str, n: int, model: str, loss: str, given: Configuration, sizes: dict[str, Any]
) -> Path:
    """Return where a model of seed 0 is kept that one configuration was trained to in full."""
    digest = hashlib.sha256(json.dumps([given, sizes], sort_keys=True).encode()).hexdigest()[:10]
    return Path(models) / "finalists" / f"{task}-{n}-{model}-{loss}-{digest}.safetensors"
