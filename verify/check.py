"""Check a claim that somebody else makes: `python -m verify.check FILE`, with NumPy and SciPy alone.

What is checked, and that nothing in the file is believed, says `verify._core.judge`. For the file of an optimum that is
`verify._optimum.check`; what judges the other kind of claim stays unloaded.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from typing import TYPE_CHECKING

from socicnn._numpy_files import read_arrays
from socicnn._results import Result
from socicnn.errors import FileError, ModelError, ProgramError

if TYPE_CHECKING:
    from verify._report import Report

_ABOUT = "Check claims that somebody else makes. Exit status: 0 all hold, 1 one does not, 2 a file cannot be read."
_FILE = ("certificate file", "write it again with certificate.save")


def check(path: str | os.PathLike[str], *, fingerprint: str | None = None) -> Report:
    """Return the verdict on the claim in a file.

    Args:
        path: the file.
        fingerprint: `FrozenNet.fingerprint` of the network that the claim should be about; any network if omitted.

    Raises:
        FileError: no such file, damaged, or of another format.
        ModelError: the network in it is not convex, not finite or of mismatched shapes.
        ProgramError: the shapes of the program in it disagree.
    """
    from verify._core.judge import judge

    return judge(read_arrays(path, *_FILE), os.fspath(path), fingerprint)


def main(arguments: list[str] | None = None) -> int:
    """Check the files named on the command line.

    Returns:
        0 if every claim holds, 1 if one does not, 2 if a file cannot be read.
    """
    parser = argparse.ArgumentParser(prog="python -m verify.check", description=_ABOUT)
    parser.add_argument("files", nargs="+", metavar="FILE", help="claims, as certificate.save writes them")
    about = parser.add_mutually_exclusive_group()
    about.add_argument("--fingerprint", metavar="HEX", help="the network that the claims should be about")
    about.add_argument("--network", metavar="MODEL", help="the same, as a file written by FrozenNet.save")
    try:
        options = parser.parse_args(arguments)
    except SystemExit as stop:  # --help, or an unknown word
        return int(stop.code or 0)
    try:
        wanted = _wanted(options.fingerprint, options.network)
        return max([_print(path, wanted) for path in options.files])
    except FileError as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        return 2


def _wanted(fingerprint: str | None, network: str | None) -> str | None:
    """Return the fingerprint that the claims should have, as it is given or that of the network in a file."""
    if network is not None:
        from socicnn.frozen import FrozenNet

        return FrozenNet.load(network).fingerprint
    if fingerprint is not None and not re.fullmatch("[0-9a-fA-F]{64}", fingerprint.strip()):
        raise FileError(f"--fingerprint must be 64 hexadecimal digits; received {fingerprint[:80]!r}")
    return fingerprint


def _print(path: str, fingerprint: str | None) -> int:
    """Print the verdict on one file and return its exit status."""
    try:
        report = _verdict(path, fingerprint)
    except (ModelError, ProgramError) as error:
        print(f"FAILED: {path}: {error}")
        return 1
    print(f"{path}: {report}")
    return int(not report.ok)


def _verdict(path: str, fingerprint: str | None) -> Result:
    """Return the verdict on a claim, or on the optimum of a problem."""
    arrays = read_arrays(path, *_FILE)
    if not str(arrays.get("format")).startswith("socicnn optimum"):
        from verify._core.judge import judge

        return judge(arrays, path, fingerprint)
    if fingerprint is not None:
        raise FileError(f"{path} holds the optimum of a problem, which has no fingerprint; leave it out")
    from verify._optimum.check import check_optimum

    return check_optimum(path)


if __name__ == "__main__":
    try:
        status = main()
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read the verdict has closed the pipe: there is nobody to report to
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 2
    sys.exit(status)
