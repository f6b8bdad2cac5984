"""Check a claim that somebody else makes: `python -m verify.check FILE`, with NumPy and SciPy alone.

The forward values are recomputed from the arrays of the network, everything else from the program and the witness:
whether the program is monotone, whether its arrays are those of the network, the four families of optimality
conditions at every point, the claimed values, and the claimed brackets. Nothing in the file is believed, and nothing
in it but the network and the points sets the tolerance of a value: S, the data scale of the network at x, is computed
here, the scales k of the witness must lie next to ||p||, and lo <= forward <= hi is demanded of what is claimed.
"""

from __future__ import annotations

import argparse
import os
import re
import sys

import numpy as np

from socicnn._arrays import Array
from socicnn._numpy_files import read_arrays
from socicnn._results import Result
from socicnn.errors import FileError, SocicnnError
from verify._core.checker import Checker
from verify._core.claim import Claim, read
from verify._core.structure import differences, monotone
from verify._proof.network import Prover
from verify._report import Check, Report, worst

CHUNK = 256
_ABOUT = "Check claims that somebody else makes. Exit status: 0 all hold, 1 one does not, 2 a file cannot be read."


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
    claim = read(path)
    N = len(claim.x)
    forward, lo, hi, value, dual = (np.empty(N) for _ in range(5))
    passed = np.empty(N, dtype=bool)
    checks: dict[str, Check] = {}
    try:
        checker = Checker(claim.program)
        for start in range(0, N, CHUNK):
            rows = slice(start, min(start + CHUNK, N))
            net, x = claim.net.take(rows), claim.x[rows]
            proven = Prover(net)(x)
            forward[rows], lo[rows], hi[rows] = net(x), proven.lo, proven.hi
            verdict = checker(
                x,
                claim.v[rows],
                claim.y[rows],
                forward[rows],
                claim.k[rows],
                scale=proven.scale,
                slack=proven.slack(forward[rows]),
                contexts=rows if net.stacked else None,
            )
            error, allowed = np.abs(claim.forward[rows] - forward[rows]), verdict.tolerances["forward"]
            value[rows], dual[rows] = verdict.value, verdict.dual
            passed[rows] = verdict.ok & (error <= allowed)
            worst(checks, verdict.residuals, verdict.tolerances, start)
            worst(checks, {"claimed_value": error}, {"claimed_value": allowed}, start)
        wrong = {"structure": monotone(claim.program), "arrays": differences(claim.program, claim.net)}
    except (ValueError, LookupError, TypeError, ArithmeticError, MemoryError) as error:
        reason = " ".join(str(error).split())[:300]
        raise FileError(f"{os.fspath(path)}: the parts of the claim do not fit together: {reason}") from None
    judged = [Check(name, float(len(w)), 0.0, None, not w, "; ".join(w)) for name, w in wrong.items()]
    claimed = _bracket(claim, lo, hi)
    about = [] if fingerprint is None else [_about(claim.net.fingerprint, fingerprint)]
    return Report(
        checks=(*about, *judged, *checks.values(), claimed),
        forward=forward,
        value=value,
        dual=dual,
        passed=passed,
        residuals={check.name: check.worst for check in checks.values()},
        lo=claim.lo if claimed.ok else None,
        hi=claim.hi if claimed.ok else None,
        sizes={"variables": claim.v.shape[1], "rows": claim.y.shape[1], "cones": len(claim.program.cones.second_order)},
        fingerprint=claim.net.fingerprint,
    )


def _about(own: str, wanted: str) -> Check:
    """Check that the claim is about the network that was asked for."""
    if own == wanted.strip().lower():
        return Check("network", 0.0, 0.0, None, True)
    return Check("network", 1.0, 0.0, None, False, f"the claim is about the network {own}, not {wanted}")


def _bracket(claim: Claim, lo: Array, hi: Array) -> Check:
    """Check that the claimed bracket contains the claimed value, and the bracket that is proven here."""
    inside = (claim.lo <= claim.forward) & (claim.forward <= claim.hi)
    holds = (claim.lo <= lo) & (hi <= claim.hi)  # compared, not subtracted: both ends may be infinite
    if (inside & holds).all():
        return Check("bracket", 0.0, 0.0, 0, True)
    if inside.all():
        at, low, high, detail = int(np.argmin(holds)), lo, hi, ""
    else:
        at, low, high = int(np.argmin(inside)), claim.forward, claim.forward
        ends = f"[{claim.lo[at]:.17g}, {claim.hi[at]:.17g}]"
        detail = f"the claimed value {claim.forward[at]:.17g} is not in the claimed bracket {ends}"
    return Check("bracket", float(np.fmax(claim.lo[at] - low[at], high[at] - claim.hi[at])), 0.0, at, False, detail)


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
    status = 0
    try:
        wanted = _wanted(options.fingerprint, options.network)
        for path in options.files:
            status = max(status, _print(path, wanted))
    except FileError as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        return 2
    return status


def _wanted(fingerprint: str | None, network: str | None) -> str | None:
    """Return the fingerprint that the claims should have, as it is given or that of the network in a file."""
    if network is not None:
        from socicnn.frozen import FrozenNet

        return FrozenNet.load(network).fingerprint
    if fingerprint is not None and not re.fullmatch("[0-9a-fA-F]{64}", fingerprint.strip()):
        raise FileError(f"--fingerprint must be 64 hexadecimal digits; received {fingerprint[:80]!r}")
    return fingerprint


def _optimum(path: str, fingerprint: str | None, error: FileError) -> Result:
    """Return the verdict on the optimum of a problem, if the file holds one; else raise the error."""
    try:
        other = str(read_arrays(path).get("format")) in ("socicnn optimum 1", "socicnn optimum with integers 1")
    except FileError:
        raise error from None
    if not other:
        raise error
    if fingerprint is not None:
        raise FileError(f"{path} holds the optimum of a problem, which has no fingerprint; leave it out")
    from verify._optimum.check import check_optimum

    return check_optimum(path)


def _print(path: str, fingerprint: str | None) -> int:
    """Print the verdict on one file and return its exit status."""
    try:
        report: Result = check(path, fingerprint=fingerprint)
    except FileError as error:
        report = _optimum(path, fingerprint, error)
    except SocicnnError as error:
        print(f"FAILED: {path}: {error}")
        return 1
    print(f"{path}: {report}")
    return int(not report.ok)


if __name__ == "__main__":
    try:
        status = main()
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read the verdict has closed the pipe: there is nobody to report to
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 2
    sys.exit(status)
