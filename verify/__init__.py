"""Proofs that a network equals its conic program, from exported data alone.

Importing it needs NumPy and SciPy alone. The functions are imported here, and not when first used: `verify.certify`
would otherwise be the function or the module of the same name, depending on what was imported before.
"""

from socicnn.errors import VerificationError
from verify.certificate import Certificate
from verify.certify import certify
from verify.core.checker import Checker
from verify.equivalence import equivalence
from verify.falsify import Falsification, falsify
from verify.proof.network import lower_bound
from verify.report import Report

__all__ = [
    "Certificate",
    "Checker",
    "Falsification",
    "Report",
    "VerificationError",
    "certify",
    "equivalence",
    "falsify",
    "lower_bound",
]
