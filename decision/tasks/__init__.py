"""The tasks of the benchmark: parametric convex costs with known optima."""

from decision.tasks._families import from_arrays, make, names, task_arrays
from decision.tasks._task import CostBlock, Task
from socicnn._moved import renamed_names
from socicnn.training import Data

__all__ = ["CostBlock", "Data", "Task", "from_arrays", "make", "names", "task_arrays"]

__getattr__ = renamed_names(__name__, {"Block": CostBlock})
