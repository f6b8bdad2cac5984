"""Check a claim that somebody else makes: `python -m verify.check FILE`, with NumPy and SciPy alone.

The forward values are recomputed from the arrays of the network, everything else from the program and the witness:
whether the program is monotone, whether its arrays are those of the network, the four families of optimality
conditions at every point, the claimed values, and the claimed brackets. Nothing in the file is believed, and nothing
in it but the network and the points sets the tolerance of a value: S, the data scale of the network at x, is computed
here, the scales k of the witness must lie next to ||p||, and lo <= forward <= hi is demanded of what is claimed.
"""

from __future__ import annotations

import os
import sys

import numpy as np

from socicnn.arrays import Array
from socicnn.errors import SocicnnError
from socicnn.files import FileError
from verify.core.checker import Checker
from verify.core.claim import Claim, read
from verify.core.structure import differences, monotone
from verify.proof.network import Prover
from verify.report import Check, Report, worst

CHUNK = 256


def check(path: str | os.PathLike[str]) -> Report:
    """Return the verdict on the claim in a file.

    Raises:
        FileError: no such file, damaged, or of another format.
        ModelError: the network in it is not convex, not finite or of mismatched shapes.
        ProgramError: the shapes of the program in it disagree.
    """
    claim = read(path)
    N = len(claim.x)
    if not N:
        raise FileError(f"{os.fspath(path)} claims nothing: it holds no points; name at least one when saving")
    forward = np.empty(N)
    bracket = {"lo": np.empty(N), "hi": np.empty(N)}
    parts: list[tuple[int, dict[str, Array], dict[str, Array]]] = []
    value, dual, passed = np.empty(N), np.empty(N), np.empty(N, dtype=bool)
    try:
        checker = Checker(claim.program)
        stacked = claim.net.contexts is not None
        for start in range(0, N, CHUNK):
            rows = slice(start, min(start + CHUNK, N))
            net = claim.net[rows] if stacked else claim.net
            x = claim.x[rows]
            proven = Prover(net)(x)
            forward[rows], bracket["lo"][rows], bracket["hi"][rows] = net(x), proven.lo, proven.hi
            found = checker(
                x,
                claim.v[rows],
                claim.y[rows],
                forward[rows],
                claim.k[rows],
                scale=proven.scale,
                contexts=rows if stacked else None,
            )
            found.residuals["claimed_value"] = np.abs(claim.forward[rows] - forward[rows])
            found.tolerances["claimed_value"] = found.tolerances["forward"]
            value[rows], dual[rows] = found.value, found.dual
            passed[rows] = found.ok & (found.residuals["claimed_value"] <= found.tolerances["claimed_value"])
            parts.append((start, found.residuals, found.tolerances))
        wrong = {"structure": monotone(claim.program), "arrays": differences(claim.program, claim.net)}
    except (ValueError, IndexError) as error:
        raise FileError(f"{os.fspath(path)}: the parts of the claim do not fit together: {error}") from None
    checks: dict[str, Check] = {}
    for start, residuals, tolerances in parts:
        worst(checks, residuals, tolerances, start)
    judged = [Check(name, float(len(w)), 0.0, None, not w, "; ".join(w)) for name, w in wrong.items()]
    claimed = _bracket(claim, bracket["lo"], bracket["hi"])
    return Report(
        checks=(*judged, *checks.values(), claimed),
        forward=forward,
        dual=dual,
        gap=float(np.max(np.abs(value - dual), initial=0.0)),
        gaps=value - dual,
        passed=passed,
        residuals={check.name: check.worst for check in checks.values()},
        lo=claim.lo if claimed.ok else None,
        hi=claim.hi if claimed.ok else None,
        sizes={"variables": claim.v.shape[1], "rows": claim.y.shape[1], "cones": len(claim.program.cones.second_order)},
    )


def _bracket(claim: Claim, lo: Array, hi: Array) -> Check:
    """Check that the claimed bracket contains the one that is proven here, and so the value, and the claimed value."""
    inside = (claim.lo <= claim.forward) & (claim.forward <= claim.hi)
    if not inside.all():
        at = int(np.flatnonzero(~inside)[0])
        outside = float(np.fmax(claim.lo[at] - claim.forward[at], claim.forward[at] - claim.hi[at]))
        detail = (
            f"the claimed value {claim.forward[at]:.17g} is not in the claimed bracket "
            f"[{claim.lo[at]:.17g}, {claim.hi[at]:.17g}]"
        )
        return Check("bracket", outside, 0.0, at, False, detail)
    holds = (claim.lo <= lo) & (hi <= claim.hi)  # compared, not subtracted: both ends may be infinite
    if holds.all():
        return Check("bracket", 0.0, 0.0, 0, True)
    at = int(np.flatnonzero(~holds)[0])
    return Check("bracket", float(np.fmax(claim.lo[at] - lo[at], hi[at] - claim.hi[at])), 0.0, at, False)


def main(arguments: list[str] | None = None) -> int:
    """Check the files named on the command line.

    Returns:
        0 where every claim holds, 1 where one does not, 2 where a file cannot be read.
    """
    paths = sys.argv[1:] if arguments is None else arguments
    if not paths or any(path.startswith("-") for path in paths):
        print("usage: python -m verify.check FILE ...", file=sys.stderr)
        return 2
    status = 0
    for path in paths:
        try:
            report = check(path)
        except FileError as error:
            print(error, file=sys.stderr)
            return 2
        except SocicnnError as error:
            print(f"FAILED: {path}: {error}")
            status = 1
            continue
        print(f"{path}: {report}")
        status = max(status, int(not report.ok))
    return status


if __name__ == "__main__":
    try:
        status = main()
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read the verdict has closed the pipe: nothing more can be told
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 2
    sys.exit(status)
