"""Proofs that a network equals its conic program, from exported data alone.

Importing it needs NumPy and SciPy alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from socicnn._faces import face

if TYPE_CHECKING:
    from socicnn.errors import VerificationError as VerificationError
    from verify import check as check
    from verify.certificate import Certificate as Certificate
    from verify.certifier import Certifier as Certifier
    from verify.certify import certify as certify
    from verify.core.checker import Checker as Checker
    from verify.equivalence import equivalence as equivalence
    from verify.falsify import Falsification as Falsification
    from verify.falsify import falsify as falsify
    from verify.proof.duals import lower_bound as lower_bound
    from verify.report import Report as Report

__all__ = face(
    __name__,
    {
        "Certificate": "verify.certificate",
        "Certifier": "verify.certifier",
        "Checker": "verify.core.checker",
        "Falsification": "verify.falsify",
        "Report": "verify.report",
        "VerificationError": "socicnn.errors",
        "certify": "verify.certify",
        "equivalence": "verify.equivalence",
        "falsify": "verify.falsify",
        "lower_bound": "verify.proof.duals",
    },
    modules=("check",),
)
