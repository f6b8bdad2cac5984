"""The verdict on a claim that somebody else makes.

The forward values are recomputed from the arrays of the network, everything else from the program and the witness:
whether the program is monotone, whether its arrays are those of the network, the four families of optimality
conditions at every point, the claimed values, and the claimed brackets. Nothing in the file is believed, and nothing
in it but the network and the points sets the tolerance of a value: S, the data scale of the network at x, is computed
here, the scales k of the witness must lie next to ||p||, and lo <= forward <= hi is demanded of what is claimed.
"""

from __future__ import annotations

import numpy as np

from socicnn._arrays import Array
from socicnn._plain_arrays import Arrays
from socicnn.errors import FileError
from verify._core.checker import Checker
from verify._core.claim import Claim, parse
from verify._core.structure import differences, monotone
from verify._proof.network import Prover
from verify._report import Check, Report, worst

CHUNK = 256


def judge(arrays: Arrays, place: str, fingerprint: str | None = None) -> Report:
    """Return the verdict on the claim in the arrays of the file `place`; the rest is as in `verify.check.check`."""
    claim = parse(arrays, place)
    arrays.clear()  # what of them is used lives on in the claim; of large programs they take a gigabyte
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
            forward[rows], lo[rows], hi[rows] = net.values(x), proven.lo, proven.hi
            witness = claim.v[rows], claim.y[rows], forward[rows], claim.k[rows]
            slack, contexts = proven.slack(forward[rows]), rows if net.stacked else slice(None)
            verdict = checker(x, *witness, scale=proven.scale, slack=slack, contexts=contexts)
            error, allowed = np.abs(claim.forward[rows] - forward[rows]), verdict.tolerances["forward"]
            value[rows], dual[rows] = verdict.value, verdict.dual
            passed[rows] = verdict.ok & (error <= allowed)
            worst(checks, verdict.residuals, verdict.tolerances, start)
            worst(checks, {"claimed_value": error}, {"claimed_value": allowed}, start)
        wrong = {"structure": monotone(claim.program), "arrays": differences(claim.program, claim.net)}
    except (ValueError, LookupError, TypeError, ArithmeticError, MemoryError) as error:
        reason = " ".join(str(error).split())[:300]
        raise FileError(f"{place}: the parts of the claim do not fit together: {reason}") from None
    own = claim.net.fingerprint
    if fingerprint is not None:
        same = own == fingerprint.strip().lower()
        wrong = {"network": [] if same else [f"the claim is about the network {own}, not {fingerprint}"], **wrong}
    judged = [Check(name, float(len(w)), 0.0, None, not w, "; ".join(w)) for name, w in wrong.items()]
    claimed, cones = _bracket(claim, lo, hi), len(claim.program.cones.second_order) + claim.program.cones.exponential
    return Report(
        checks=(*judged, *checks.values(), claimed),
        forward=forward,
        value=value,
        dual=dual,
        passed=passed,
        residuals={check.name: check.worst for check in checks.values()},
        lo=claim.lo if claimed.ok else None,
        hi=claim.hi if claimed.ok else None,
        sizes={"variables": claim.v.shape[1], "rows": claim.y.shape[1], "cones": cones},
        fingerprint=own,
    )


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
