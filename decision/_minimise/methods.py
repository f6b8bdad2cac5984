"""The ways to minimise a surrogate over a set, by name: an algorithm is a value that `decide` is given."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any, Literal, final

import torch

from decision._minimise import scouting as scouting
from decision._minimise.accelerated import descend
from decision._minimise.answers import Answers, Goal
from decision._minimise.central_path import follow_central_path
from decision._minimise.costs import BatchSize, batched_ms, exact_ms, is_large
from decision._minimise.exact import solve_exactly, solver_of
from decision._minimise.interior import Polyhedron, follow, is_small
from decision._minimise.module_surrogate import ModuleSurrogate
from decision._minimise.stack_surrogate import StackSurrogate
from decision._minimise.surrogate import Surrogate
from decision.sets._base import FeasibleSet
from socicnn._registry import Registry
from socicnn.conic.solvers import Highs, Solver, SolverName
from socicnn.errors import MissingExtra, ModelError, NoProgramError, SolverError
from socicnn.frozen import FrozenNet

LARGEST = 600  # inputs up to which a Newton matrix per context is worth its n^3
LOOSE = 5e-4  # relative accuracy that `scouting` reaches in float32, or nearly
LARGEST_HESSIAN = 200  # inputs up to which a Hessian, n products with a vector, is worth its time


@dataclass(frozen=True, eq=False)
class Problem:
    """Minimise each function of a surrogate over a set.

    Args:
        surrogate: the functions.
        feasible_set: the set X.
        progress: whether to show a progress bar.
    """

    surrogate: Surrogate
    feasible_set: FeasibleSet
    progress: bool = False

    def networks(self) -> StackSurrogate:
        """Return the surrogate, if it is one of networks."""
        return networks_of(self.surrogate)

    def polyhedron(self, largest: int = LARGEST) -> Polyhedron | None:
        """Return the set as inequalities with an interior; None if it has none or too many inputs."""
        if self.feasible_set.n > largest:
            return None
        return Polyhedron.of(self.feasible_set, self.surrogate.device)

    def take(self, rows: torch.Tensor) -> Problem:
        """Return the problem of some contexts."""
        return replace(self, surrogate=self.surrogate.take(rows))


def networks_of(surrogate: Surrogate) -> StackSurrogate:
    """Return a surrogate of networks as it is.

    Raises:
        NoProgramError: it is not a network.
    """
    if isinstance(surrogate, StackSurrogate):
        return surrogate
    why = surrogate.reason if isinstance(surrogate, ModuleSurrogate) else "it is not a network"
    raise NoProgramError(f"{why}; use method='auto', 'central_path' or 'projected_gradient' over a set")


class Method(ABC):
    """A way to minimise; a value, without state."""

    name: str

    @abstractmethod
    def improve(self, problem: Problem, answers: Answers, goal: Goal) -> None:
        """Improve `answers`, in place, until each context has its gap or the method gives up."""


@final
@dataclass(frozen=True)
class ProjectedGradient(Method):
    """Accelerated projected gradient on the smoothed surrogate; networks are finished by the interior-point method.

    The first `scouting.ITERATIONS` find the way in float32; the interior-point method starts where they end, with the
    units that still move. Where it cannot run, projected gradient continues alone.

    Args:
        finish: whether the interior-point method takes over.
    """

    finish: bool = True
    name = "projected_gradient"

    def improve(self, problem: Problem, answers: Answers, goal: Goal) -> None:
        """Descend, then finish."""
        finish = self.finish and _has_path(problem) and scouting.worth(goal) and not is_large(problem.surrogate)
        polyhedron = problem.polyhedron() if finish else None
        if polyhedron is None:
            _descended(problem, answers, goal)
        else:
            _scouted(problem, polyhedron, answers, goal)
            _searched(problem, polyhedron, answers, goal)


@final
@dataclass(frozen=True)
class InteriorPoint(Method):
    """The batched interior-point method for networks, over sets with linear rows and an interior.

    Networks with wide layers are scouted first, as by `projected_gradient`; others start at the set's centre. Those
    with norms inside layers are left to `central_path`.

    Args:
        searches: whether `central_path` takes networks with smooth units that are left.
    """

    searches: bool = True
    name = "interior_point"

    def improve(self, problem: Problem, answers: Answers, goal: Goal) -> None:
        """Follow the central path."""
        stack, polyhedron = problem.networks().stack, problem.polyhedron()
        if not _has_path(problem):
            CentralPath().improve(problem, answers, goal)
            return
        if polyhedron is None:
            raise ModelError(_no_interior(self.name, problem, LARGEST))
        if is_small(stack) or not scouting.worth(goal):
            follow(stack, problem.feasible_set, polyhedron, answers, goal)
        else:
            _scouted(problem, polyhedron, answers, goal)
        if self.searches:
            _searched(problem, polyhedron, answers, goal)


def _descended(problem: Problem, answers: Answers, goal: Goal) -> None:
    """Descend, large networks in float32 first."""
    surrogate = problem.surrogate
    large, pace = problem.feasible_set.n > LARGEST or is_large(problem.surrogate), None
    if isinstance(surrogate, StackSurrogate) and large and scouting.worth(goal):
        pace = scouting.descend_short(surrogate, problem.feasible_set, answers, goal)
    left = (~answers.done(goal)).nonzero()[:, 0]
    rest = goal.after(int(answers.iterations[left].max())) if len(left) else goal
    if not len(left) or goal.late or rest.max_iterations == 0:
        return
    chosen = answers.take(left)
    pace = None if pace is None else pace.take(left)
    descend(surrogate.take(left), problem.feasible_set, chosen, rest, pace=pace)
    answers.put(left, chosen)


def _has_path(problem: Problem) -> bool:
    """Return whether the interior-point method knows all terms: it knows no norms inside layers."""
    return problem.surrogate.proves and not problem.networks().stack.roots


def _scouted(problem: Problem, polyhedron: Polyhedron, answers: Answers, goal: Goal) -> None:
    """Scout in float32, then follow the central path with the units that still move."""
    networks, feasible_set = problem.networks(), problem.feasible_set
    before = scouting.scout(networks, feasible_set, answers, goal)
    follow(networks.stack, feasible_set, polyhedron, answers, goal.after(scouting.COUNT), before)


def _searched(problem: Problem, polyhedron: Polyhedron, answers: Answers, goal: Goal) -> None:
    """Meet sharp softplus units, which may stop the interior-point method, with a line search."""
    left = (~answers.done(goal)).nonzero()[:, 0]
    large = problem.feasible_set.n > LARGEST_HESSIAN
    if large or not len(left) or goal.late or not problem.networks().stack.smooth:
        return
    rest, had = answers.take(left), int(answers.iterations[left].max())
    if goal.after(had).max_iterations != 0:
        follow_central_path(problem.surrogate.take(left), problem.feasible_set, polyhedron, rest, goal.after(had))
    answers.put(left, rest)


@final
@dataclass(frozen=True)
class CentralPath(Method):
    """Newton's method on the smoothed surrogate, of any kind, over sets with linear rows and an interior."""

    name = "central_path"

    def improve(self, problem: Problem, answers: Answers, goal: Goal) -> None:
        """Follow the central path."""
        polyhedron = problem.polyhedron(LARGEST_HESSIAN)
        if polyhedron is None:
            raise ModelError(_no_interior(self.name, problem, LARGEST_HESSIAN))
        follow_central_path(problem.surrogate, problem.feasible_set, polyhedron, answers, goal)


def _no_interior(name: str, problem: Problem, largest: int) -> str:
    return (
        f"{name} needs a set with linear rows and an interior, and at most {largest} inputs; received "
        f"{problem.feasible_set!r} and {problem.feasible_set.n} inputs: use method='projected_gradient'"
    )


@final
@dataclass(frozen=True)
class Exact(Method):
    """The exact conic program of each context through a solver.

    Args:
        solver: its name, or a `Solver` with its settings; "auto" takes HiGHS for two or more contexts of a network of
            ReLU units over a set with linear rows, if it is installed and no settings are given, and else Clarabel.
            What HiGHS leaves uncertified goes to Clarabel.
        settings: the solver's own settings, by its own names.
    """

    solver: SolverName | Literal["auto"] | Solver = "auto"
    settings: tuple[tuple[str, Any], ...] = ()
    name = "exact"

    def improve(self, problem: Problem, answers: Answers, goal: Goal) -> None:
        """Solve context after context."""
        if not self.takes_simplex(problem) or not self._by_simplex(problem, answers, goal):
            self._solve(problem, answers, goal, self.made())

    def _by_simplex(self, problem: Problem, answers: Answers, goal: Goal) -> bool:
        """Solve by HiGHS, and by Clarabel what that leaves uncertified; return False if HiGHS cannot."""
        everyone = torch.arange(len(answers.x), device=answers.x.device)
        by_simplex = replace(answers.take(everyone), notes=[])
        try:
            self._solve(problem, by_simplex, goal, Highs())
        except (SolverError, MissingExtra):  # entries too small or too large for it; a package that cannot be loaded
            return False
        left = (~by_simplex.done(goal)).nonzero()[:, 0]
        again = len(left) > 0 and not goal.late and goal.after(1).max_iterations != 0
        answers.put(everyone, replace(by_simplex, notes=[]) if again else by_simplex)
        if again:
            rest = answers.take(left)
            self._solve(problem.take(left), rest, goal, self.made())
            answers.put(left, rest)
        return True

    def _solve(self, problem: Problem, answers: Answers, goal: Goal, solver: Solver) -> None:
        networks = problem.networks()
        solve_exactly(
            networks.net, networks.stack, problem.feasible_set, answers, goal, solver, progress=problem.progress
        )

    def takes_simplex(self, problem: Problem) -> bool:
        """Return whether the simplex method of HiGHS is tried first.

        It starts from the last context's basis. For the first context it takes about as long as Clarabel up to n = 50;
        at n = 1,000 a fortieth.
        """
        few = len(problem.surrogate) < 2 and problem.feasible_set.n <= LARGEST
        if self.solver != "auto" or self.settings or few or find_spec(Highs.package) is None:
            return False
        return is_linear(problem.networks().net) and not problem.feasible_set.rows().cones.second_order

    def made(self) -> Solver:
        """Return the solver with its settings; of "auto" the one that takes all programs."""
        return solver_of("clarabel" if self.solver == "auto" else self.solver, dict(self.settings))


def is_linear(net: FrozenNet) -> bool:
    """Return whether a network's program is linear: units alone, without quadratics and norms."""
    curved = net.quadratics or net.norms or net.exponentials
    return not curved and not any(layer.inner or layer.smooth for layer in net.layers)


@final
@dataclass(frozen=True)
class Auto(Method):
    """The fastest way by a measured rule, and another one for what it leaves uncertified.

    Args:
        exact: the exact way, with its solver.
    """

    exact: Exact = Exact()
    name = "auto"

    def improve(self, problem: Problem, answers: Answers, goal: Goal) -> None:
        """Choose, then mend."""
        for method in self.order(problem, loose=goal.rtol >= LOOSE and scouting.worth(goal)):
            left = (~answers.done(goal)).nonzero()[:, 0]
            had = int(answers.iterations[left].max()) if len(left) else 0
            rest = goal.after(had)
            if not len(left) or goal.late or rest.max_iterations == 0:
                return
            chosen = answers.take(left)
            method.improve(problem.take(left), chosen, rest)
            answers.put(left, chosen)

    def order(self, problem: Problem, *, loose: bool = False) -> list[Method]:
        """Return the methods to try in turn; `loose` as in `exact_is_faster`."""
        if not problem.surrogate.proves:
            return [CentralPath() if problem.polyhedron(LARGEST_HESSIAN) is not None else ProjectedGradient()]
        if problem.polyhedron() is None:
            first: list[Method] = [ProjectedGradient()]
            if not problem.feasible_set.has_rows:
                return first
            simplex = problem.feasible_set.n > LARGEST and self.exact.takes_simplex(problem)
            return [self.exact, *first] if simplex or not _has_path(problem) else [*first, self.exact]
        if is_large(problem.surrogate) and _has_path(problem):
            return [ProjectedGradient(), InteriorPoint(), self.exact]
        if problem.networks().stack.smooth or not _has_path(problem):
            # exponential cones are slow, but their multipliers are better ones
            newton: list[Method] = [CentralPath()] if problem.feasible_set.n <= LARGEST_HESSIAN else []
            path: list[Method] = [InteriorPoint(searches=False)] if _has_path(problem) else newton
            return [*path, self.exact, *newton]
        quick: list[Method] = [InteriorPoint(), self.exact]
        warm = self.exact.takes_simplex(problem)
        return quick[::-1] if exact_is_faster(problem, warm=warm, loose=loose) else quick


def exact_is_faster(problem: Problem, *, warm: bool = False, loose: bool = False) -> bool:
    """Return whether the exact program is likely to be faster than the interior-point method, by `costs`.

    Args:
        problem: the functions and the set.
        warm: as in `costs.exact_ms`.
        loose: as in `costs.batched_ms`.
    """
    size = BatchSize.of(problem.networks())
    return exact_ms(size, warm=warm) < batched_ms(size, loose=loose)


METHODS: Registry[Callable[[], Method]] = Registry(
    "method", {kind.name: kind for kind in (Auto, CentralPath, Exact, InteriorPoint, ProjectedGradient)}
)


def make(
    method: str | Method, solver: SolverName | Literal["auto"] | Solver = "auto", settings: dict[str, Any] | None = None
) -> Method:
    """Return the method of that name; a `Method` is returned as it is.

    Raises:
        ModelError: the name is unknown; the message lists what there is.
    """
    if isinstance(method, Method):
        return method
    kind = METHODS[method]
    exact = Exact(solver, tuple((settings or {}).items()))
    if method == "exact":
        return exact
    return Auto(exact) if method == "auto" else kind()
