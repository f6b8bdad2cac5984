"""The engines that run jobs side by side: processes of this machine, or a Dask cluster, both through joblib."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from socicnn._registry import choose
from socicnn.errors import MissingExtra, SocicnnError


class EngineError(SocicnnError, ValueError):
    """An engine that cannot be used as asked."""


class Crash(SocicnnError, RuntimeError):
    """A worker that died while it ran a job, killed or crashed; its other jobs are lost with it."""


class Parallel(Protocol):
    """Calls a top-level function with each of many arguments and yields the results as they come."""

    def __call__(self, function: Callable[..., Any], arguments: Sequence[Any]) -> Iterator[Any]:
        """Yield `function(*entry)` for each entry of `arguments`; raises Crash where a worker died."""


def check_engine(name: str, jobs: int, address: str | None = None) -> None:
    """Raise an EngineError where an engine is unknown or its settings do not go together."""
    choose("engine", name, ENGINES, error=EngineError)
    if not isinstance(jobs, int) or jobs < 1:
        raise EngineError(f"jobs must be an integer >= 1; received {jobs!r}")
    if address is not None and name != "dask":
        raise EngineError(f"address names a Dask scheduler, but the engine is '{name}'; set engine='dask'")


@contextmanager
def engine_of(name: str, jobs: int, address: str | None = None) -> Iterator[Parallel]:
    """Give an engine by name, for as long as the block lasts.

    Args:
        name: `loky` or `dask`.
        jobs: how many jobs at a time; with an address, as many as the cluster has threads.
        address: of a Dask scheduler; defaults to a local cluster of one-thread workers. Its workers must find the
            packages, for instance because they were started in the folder of the project with `python -m
            distributed.cli.dask_worker ADDRESS --nthreads 1`.

    Raises:
        EngineError: an unknown name, or settings that do not go together.
        MissingExtra: the engine's package is not installed.
    """
    check_engine(name, jobs, address)
    with ENGINES[name](jobs, address) as parallel:
        yield parallel


@contextmanager
def _loky(jobs: int, address: str | None) -> Iterator[Parallel]:
    joblib = _joblib()
    from concurrent.futures.process import BrokenProcessPool

    # one thread a process, set before its libraries load
    with joblib.parallel_config(backend="loky", n_jobs=jobs, inner_max_num_threads=1):
        yield _through(joblib, BrokenProcessPool)


@contextmanager
def _dask(jobs: int, address: str | None) -> Iterator[Parallel]:
    joblib = _joblib()
    try:
        from distributed import Client, KilledWorker, LocalCluster
    except ImportError:
        raise MissingExtra("the Dask engine needs the package distributed: pip install 'socicnn[dask]'") from None
    if address is not None:
        with Client(address) as client, joblib.parallel_config(backend="dask", n_jobs=-1, client=client):
            yield _through(joblib, KilledWorker)
        return
    with (
        LocalCluster(n_workers=jobs, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
        joblib.parallel_config(backend="dask", n_jobs=-1, client=client),
    ):
        yield _through(joblib, KilledWorker)


def _joblib() -> Any:
    try:
        import joblib
    except ImportError:
        raise MissingExtra("parallel runs need joblib: pip install 'socicnn[experiments]', or set jobs to 1") from None
    return joblib


def _through(joblib: Any, crash: type[BaseException]) -> Parallel:
    def parallel(function: Callable[..., Any], arguments: Sequence[Any]) -> Iterator[Any]:
        calls = (joblib.delayed(function)(*entry) for entry in arguments)
        try:
            yield from joblib.Parallel(return_as="generator_unordered", batch_size=1)(calls)
        except crash as error:
            raise Crash(str(error).strip() or type(error).__name__) from error

    return parallel


ENGINES: dict[str, Callable[[int, str | None], Any]] = {"dask": _dask, "loky": _loky}
