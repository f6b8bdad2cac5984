"""The work behind `decide`, cut into blocks of contexts that do not depend on each other."""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, final

import torch
from torch import Tensor

from decision._minimise.answers import Goal
from decision._minimise.judging import Judged, decided
from decision._minimise.methods import Method
from decision._minimise.origin import box_around, origin_of, ranges_around
from decision._minimise.reference import Reference
from decision._minimise.search import Search
from decision._minimise.stack_surrogate import StackSurrogate
from decision._minimise.surrogate import Surrogate
from decision._over_rows import AnySet, decided_over_rows, resolved, through_solver
from decision._worker import receive, send
from decision.sets import Box, ConicSet, CvxpySet
from decision.sets._base import FeasibleSet
from socicnn._arrays import Array
from socicnn._ranges import Ranges
from socicnn.errors import ModelError, SolverError

BLOCK = 256  # contexts; what is found for a context depends on no more than its own block


@final
@dataclass(frozen=True, eq=False)
class ContextBlock:
    """Some of the contexts.

    Args:
        surrogate: their functions.
        first: number of the first of them.
        points: where to start, shape `(contexts, n)`; None if the user gives none.
    """

    surrogate: Surrogate
    first: int
    points: Tensor | None = None


@final
@dataclass(frozen=True, eq=False)
class Work:
    """What all blocks share.

    Args:
        feasible_set: the set, as the user gave it.
        method: how to minimise.
        proves: whether the functions are networks with a conic program.
        ranges: of the training data, if they are stored.
        theta: contexts of all blocks, shape `(contexts, p)`, that the set may move with.
        count: number of contexts of all blocks.
        progress: whether to show a progress bar.
        known: the reference points of the set, if they have been found before.
    """

    feasible_set: AnySet
    method: Method
    proves: bool
    ranges: Ranges | None
    theta: Tensor | None
    count: int
    progress: bool = False
    known: Reference | None = None

    @cached_property
    def where(self) -> FeasibleSet | ConicSet | CvxpySet:
        """The set, as the way that decides over it takes it."""
        return resolved(self.feasible_set, self.method, proves=self.proves)

    @cached_property
    def _reference(self) -> Reference:
        assert isinstance(self.where, FeasibleSet)
        return Reference.of(self.where, self.ranges) if self.known is None else self.known

    @cached_property
    def _around(self) -> tuple[Array, Box, Reference] | None:
        """Where a box far from zero is searched around, the box there and its reference; None for other sets."""
        origin = origin_of(self.where)
        if origin is None or not isinstance(self.where, Box):
            return None
        box = box_around(self.where, origin)
        return origin, box, Reference.of(box, ranges_around(self.ranges, origin))

    def judged(self, block: ContextBlock, goal: Goal) -> Judged:
        """Return the decisions of one block."""
        if self._around is not None and isinstance(block.surrogate, StackSurrogate):
            origin, box, reference = self._around
            moved = block.surrogate.around(origin)
            if moved is not None:
                shift = torch.as_tensor(origin, device=moved.device)
                start = None if block.points is None else block.points - shift
                decisions = decided(Search(moved, box, reference, self.method, self.progress, origin), start, goal)
                return replace(decisions, x=decisions.x + shift)
        if isinstance(self.where, FeasibleSet):
            search = Search(block.surrogate, self.where, self._reference, self.method, self.progress)
            return decided(search, block.points, goal)
        exact = through_solver(self.method, {})
        return decided_over_rows(block.surrogate, self.where, self.theta, goal, exact, block.first, self.count)


def blocks_of(surrogates: Sequence[Surrogate], points: Sequence[Tensor | None]) -> list[ContextBlock]:
    """Return batches of functions, with the points to start from, as blocks of at most `BLOCK` contexts."""
    blocks, first = [], 0
    for surrogate, start in zip(surrogates, points, strict=True):
        if len(surrogate) <= BLOCK:
            blocks.append(ContextBlock(surrogate, first, start))
        else:
            for rows in torch.arange(len(surrogate)).split(BLOCK):
                part = surrogate.take(rows.to(surrogate.device))
                blocks.append(ContextBlock(part, first + int(rows[0]), None if start is None else start[rows]))
        first += len(surrogate)
    return blocks


def judged_in_jobs(work: Work, blocks: Sequence[ContextBlock], goal: Goal, jobs: int) -> list[Judged]:
    """Return what `work.judged` returns for each block, by `jobs` worker processes that are handed one after another.

    Threads would wait for each other, as solvers hold the interpreter while they solve. A worker computes with one.

    Raises:
        ModelError: the set or the functions cannot be pickled.
        SolverError: a worker ended early.
    """
    try:
        shared = pickle.dumps((work, goal))
        messages = [pickle.dumps(block) for block in blocks]
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ModelError(f"jobs > 1 needs a model and a set that can be pickled ({error}); use jobs=1") from error
    answers: list[Any] = [None] * len(blocks)
    queue, lock = iter(range(len(blocks))), threading.Lock()

    def serve() -> None:
        """Hand blocks to one worker until none is left."""
        with _worker() as (source, target):
            send(target, shared)
            while True:
                with lock:
                    place = next(queue, None)
                if place is None:
                    return
                send(target, messages[place])
                answers[place] = receive(source)

    threads = [threading.Thread(target=serve, daemon=True) for _ in range(min(jobs, len(blocks)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
        if answer is None:
            raise SolverError("a worker process ended early; its last words stand above, or use jobs=1")
    return answers


@contextlib.contextmanager
def _worker() -> Any:
    """Yield the pipes of a fresh worker."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    paths = os.pathsep.join(path for path in sys.path if path)
    words = [sys.executable, "-m", "decision._worker"]
    process = subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, **threads, "PYTHONPATH": paths}
    )
    try:
        with contextlib.suppress(BrokenPipeError, EOFError):
            yield process.stdout, process.stdin
    finally:
        with contextlib.suppress(BrokenPipeError):
            process.communicate()  # closes its input, at which it ends
