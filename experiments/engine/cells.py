"""The cells of a sweep: what each is called, what it runs and with which settings."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from typing import Any, final

from experiments.engine.tables import Value, as_value, written
from socicnn.errors import SocicnnError

Job = Callable[..., Iterable[Mapping[str, Any]]]


def kept_as(name: str) -> Callable[[Job], Job]:
    """Name a job in the fingerprints of its rows, so that kept rows stay valid when the function moves.

    Args:
        name: `module.function` under which the first rows were kept.
    """

    def mark(job: Job) -> Job:
        job.kept_as = name  # type: ignore[attr-defined]  # functions take attributes
        return job

    return mark


class SweepError(SocicnnError, ValueError):
    """Cells, or a choice among them, that cannot be run as they are."""


@final
@dataclass(frozen=True, eq=False)
class Cell:
    """One job of a sweep.

    Args:
        key: what tells it from the others, {column: value}.
        job: a top-level function; `job(**key, **settings)` returns the rows.
        settings: its other arguments, JSON values; where they change, the cell is run anew. Put a `version` among them
            that goes up when the function itself changes.
        places: further arguments that a row is not known by: where files lie, and what is worked on beside it.
        alone: whether it runs after all others with nothing beside it, because it measures time.
    """

    key: Mapping[str, Value]
    job: Job
    settings: Mapping[str, Any] = field(default_factory=dict)
    places: Mapping[str, Any] = field(default_factory=dict)
    alone: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", {column: as_value(value, column) for column, value in self.key.items()})

    @cached_property
    def function(self) -> Job:
        """The job under a name that a worker can import: `python -m` calls its module `__main__`."""
        spec = getattr(sys.modules["__main__"], "__spec__", None) if self.job.__module__ == "__main__" else None
        return getattr(import_module(spec.name), self.job.__qualname__) if spec else self.job

    @cached_property
    def fingerprint(self) -> str:
        """Twelve digits that change with the job's name (see `kept_as`) and with the settings."""
        name = getattr(self.function, "kept_as", f"{self.function.__module__}.{self.function.__qualname__}")
        try:
            text = json.dumps([name, dict(self.settings)], sort_keys=True)
        except TypeError as error:
            raise SweepError(f"the settings of cell {shown(self.key)} must be JSON values: {error}") from None
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def label(self) -> str:
        """A name for a file."""
        text = json.dumps({column: written(value) for column, value in self.key.items()}, sort_keys=True)
        readable = re.sub(r"[^A-Za-z0-9._+-]+", "_", "-".join(written(value) for value in self.key.values()))
        return f"{readable[:80]}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"


def shown(key: Mapping[str, Value]) -> str:
    """Return a key in words."""
    return " ".join(f"{column}={written(value)}" for column, value in key.items())
