"""What the networks are compared with: structured convex models with heads linear in the context."""

from decision.baselines._structured.base import Structured
from decision.baselines._structured.dcp import StructuredDCP
from decision.baselines._structured.pcf import StructuredPCF

__all__ = ["Structured", "StructuredDCP", "StructuredPCF"]
