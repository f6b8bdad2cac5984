"""Proofs that a network equals its conic program, from exported data alone.

Importing it needs NumPy and SciPy alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from socicnn._faces import face

if TYPE_CHECKING:
    from socicnn.errors import VerificationError as VerificationError
    from verify import check as check
    from verify._certificate import Certificate as Certificate
    from verify._certifier import Certifier as Certifier
    from verify._certify import certify as certify
    from verify._core.checker import Checker as Checker
    from verify._equivalence import equivalence as equivalence
    from verify._falsify import Falsification as Falsification
    from verify._falsify import falsify as falsify
    from verify._proof.duals import lower_bound as lower_bound
    from verify._report import Report as Report

__all__ = face(
    __name__,
    {
        "Certificate": "verify._certificate",
        "Certifier": "verify._certifier",
        "Checker": "verify._core.checker",
        "Falsification": "verify._falsify",
        "Report": "verify._report",
        "VerificationError": "socicnn.errors",
        "certify": "verify._certify",
        "equivalence": "verify._equivalence",
        "falsify": "verify._falsify",
        "lower_bound": "verify._proof.duals",
    },
    modules=("check",),
)
