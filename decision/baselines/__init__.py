"""What the networks are compared with: structured convex models with heads linear in the context."""

from decision.baselines.structured import Structured
from decision.baselines.structured_dcp import StructuredDCP
from decision.baselines.structured_pcf import StructuredPCF

__all__ = ["Structured", "StructuredDCP", "StructuredPCF"]
