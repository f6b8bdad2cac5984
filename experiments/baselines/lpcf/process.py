"""Calls into lpcf, whose pins clash with ours: a process of its own, in an environment of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from experiments.baselines.lpcf import worker as lpcf_worker
from socicnn._arrays import Array
from socicnn.errors import MissingExtra, SolverError

VARIABLE = "SOCICNN_LPCF_PYTHON"  # names the interpreter
_ROOT = Path(__file__).parents[3]
_ONE_THREAD = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"


def interpreter(python: str | os.PathLike[str] | None = None) -> Path:
    """Return the Python of lpcf's environment.

    It is the argument; else what SOCICNN_LPCF_PYTHON names; else that of `.venv-pcf` next to this package, or of the
    environment that `make test-extras` builds next to the one in use.

    Raises:
        MissingExtra: it is not there.
    """
    named = python or os.environ.get(VARIABLE)
    folders = [_ROOT / ".venv-pcf", Path(f"{sys.prefix}-pcf")]
    places = [Path(named)] if named else [folder / "bin" / "python" for folder in folders]
    for place in places:
        if place.is_file():
            return place
    raise MissingExtra(
        "lpcf needs an environment of its own, because it holds JAX, NumPy and SciPy at old versions; there is no "
        f"{' and no '.join(map(str, places))}. Run `make .venv-pcf/.ready`, or `pip install -r constraints-pcf.txt` "
        f"into an environment of Python < 3.13, and name its python by {VARIABLE}"
    )


def call(
    command: str,
    arrays: dict[str, Any],
    settings: dict[str, Any],
    *,
    python: str | os.PathLike[str] | None = None,
    timeout: float | None = None,
) -> dict[str, Array]:
    """Run a command of `lpcf_worker` with one thread and return its arrays.

    Args:
        command: its name.
        arrays: what it takes.
        settings: JSON values.
        python: as in `interpreter`.
        timeout: seconds after which it is given up.

    Raises:
        MissingExtra: the environment is missing, or lpcf is missing in it.
        SolverError: the command failed or took too long; the message has its last line.
    """
    program = interpreter(python)
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "given.npz", Path(folder) / "found.npz"
        np.savez(source, settings=np.array(json.dumps(settings)), **arrays)
        # isolated: neither PYTHONPATH nor the worker's folder, whose lpcf.py would stand before the package
        words = [str(program), "-I", "-W", "ignore", lpcf_worker.__file__, command, str(source), str(target)]
        environment = {
            **os.environ,
            **threads,
            "XLA_FLAGS": _ONE_THREAD,
            "JAX_PLATFORMS": "cpu",
            "JAX_TRACEBACK_FILTERING": "off",
        }
        try:
            done = subprocess.run(words, capture_output=True, text=True, timeout=timeout, env=environment, check=False)
        except subprocess.TimeoutExpired:
            raise SolverError(f"lpcf's `{command}` did not end within {timeout} s; give it fewer points") from None
        if done.returncode:
            last = (done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"])[-1]
            if "No module named" in last:
                raise MissingExtra(
                    f"the environment of {program} lacks a package ({last}); "
                    "run there: pip install -r constraints-pcf.txt"
                )
            raise SolverError(f"lpcf's `{command}` failed: {last}")
        with np.load(target) as file:
            return dict(file)
