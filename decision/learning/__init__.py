"""Beyond the loss: what else a surrogate can learn from for its decisions, in addition to `decision.fit`."""

from decision.learning._active import ActiveOptions, ActiveResult, fit_active, with_decisions
from decision.learning._averaging import WeightAverage
from decision.learning._ensemble import Ensemble, mean_network
from decision.learning._focused import FocusedOptions, FocusedResult, fit_focused
from socicnn._moved import renamed_names

__all__ = [
    "ActiveOptions",
    "ActiveResult",
    "Ensemble",
    "FocusedOptions",
    "FocusedResult",
    "WeightAverage",
    "fit_active",
    "fit_focused",
    "mean_network",
    "with_decisions",
]

__getattr__ = renamed_names(__name__, {"Active": ActiveResult, "Focused": FocusedResult, "average": mean_network})
