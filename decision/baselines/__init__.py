"""What the networks are compared with: structured convex models with heads linear in the context."""

from decision.baselines.structured import Structured
from decision.baselines.structured_dcp import StructuredDCP
from decision.baselines.structured_pcf import StructuredPCF
from socicnn.nn import NETWORKS

__all__ = ["Structured", "StructuredDCP", "StructuredPCF"]

# `socicnn.save` and `socicnn.load` know them once this package is imported.
NETWORKS.update(
    StructuredPCF="decision.baselines.structured_pcf",
    StructuredDCP="decision.baselines.structured_dcp",
)
