"""What the networks are compared with: structured convex models with heads linear in the context."""

from decision.baselines.structured.base import Structured
from decision.baselines.structured.dcp import StructuredDCP
from decision.baselines.structured.pcf import StructuredPCF

__all__ = ["Structured", "StructuredDCP", "StructuredPCF"]
