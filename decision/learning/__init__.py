"""Beyond the loss: what else a surrogate can learn from for its decisions, in addition to `decision.fit`."""

from decision.learning._active import Active, ActiveOptions, fit_active, with_decisions
from decision.learning._averaging import WeightAverage
from decision.learning._ensemble import Ensemble, average
from decision.learning._focused import Focused, FocusedOptions, fit_focused

__all__ = [
    "Active",
    "ActiveOptions",
    "Ensemble",
    "Focused",
    "FocusedOptions",
    "WeightAverage",
    "average",
    "fit_active",
    "fit_focused",
    "with_decisions",
]
