"""Beyond the loss: what else a surrogate can learn from for the sake of its decisions, beside `decision.fit`."""

from decision.learning.active import Active, fit_active, with_decisions
from decision.learning.averaging import WeightAverage
from decision.learning.ensemble import Ensemble, average
from decision.learning.focused import Focused, fit_focused

__all__ = ["Active", "Ensemble", "Focused", "WeightAverage", "average", "fit_active", "fit_focused", "with_decisions"]
