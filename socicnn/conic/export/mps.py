"""Linear programs (networks of ReLU units alone) in MPS, written by HiGHS."""

from __future__ import annotations

import os
import tempfile
from importlib import import_module
from pathlib import Path

from socicnn.conic.program import ConicProgram, ValueProgram
from socicnn.conic.solvers.highs import linear_model
from socicnn.errors import MissingExtra, ProgramError
from socicnn.files import FileError, replacing


def write(program: ValueProgram | ConicProgram, path: str | os.PathLike[str]) -> None:
    """Write a linear program in MPS, with the names of its blocks; numbers keep the 15 digits that HiGHS writes.

    Args:
        program: an instance, or a value program, whose x then is among the variables, free.
        path: file to write.

    Raises:
        ProgramError: the program has second-order cones.
        FileError: the file cannot be written.
        MissingExtra: highspy is not installed.
    """
    instance = program.free() if isinstance(program, ValueProgram) else program
    cones = [size for size in instance.cones.second_order if size > 1]
    if cones:
        raise ProgramError(
            f"MPS holds linear programs; this one has {len(cones)} second-order cones (from quadratic or norm "
            "branches, or from the set); choose the format cbf"
        )
    try:
        highspy = import_module("highspy")
    except ImportError as error:
        raise MissingExtra('the format mps needs highspy; run: pip install "socicnn[highs]"') from error
    lp = linear_model(highspy, instance)
    lp.model_name_ = "socicnn"
    lp.col_names_ = instance.column_names
    lp.row_names_ = instance.row_names
    solver = highspy.Highs()
    solver.setOptionValue("output_flag", False)
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / "program.mps"  # HiGHS goes by the suffix
        if solver.passModel(lp) == highspy.HighsStatus.kError or (
            solver.writeModel(str(draft)) == highspy.HighsStatus.kError
        ):
            raise FileError(f"HiGHS could not write {path}")
        text = draft.read_bytes()
    with replacing(path) as whole:
        whole.write_bytes(text)
