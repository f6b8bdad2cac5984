"""Blocks of contexts on several cores: worker processes that are handed one block after another.

Threads would wait for each other, as solvers hold the interpreter while they solve. A worker computes with one thread.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import Any

from decision._minimise.answers import Goal
from decision._minimise.judging import Judged
from decision._work import ContextBlock, Work
from decision._worker import receive, send
from socicnn.errors import ModelError, SolverError


def judged_in_jobs(work: Work, blocks: Sequence[ContextBlock], goal: Goal, jobs: int) -> list[Judged]:
    """Return what `work.judged` returns for each block, by `jobs` worker processes.

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
