"""The tasks of the benchmark: parametric convex costs with known optima."""

from decision.tasks.data import Data
from decision.tasks.families import from_arrays, make, names, task_arrays
from decision.tasks.task import Block, Task

__all__ = ["Block", "Data", "Task", "from_arrays", "make", "names", "task_arrays"]
