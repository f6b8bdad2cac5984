"""Models of PyEPO as sets, and sets as models of PyEPO: the same solutions as the package's own models have."""

import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import decision
from decision import Ball, Box, Ellipsoid, Intersection, Polytope, Simplex
from socicnn.errors import MissingExtra, ModelError, ProgramError, SolverError
from socicnn.frozen import FrozenNet, Output


def decided(problem: Any, c: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the decision for coefficients c, and c'x."""
    net = FrozenNet([], Output(np.zeros(0), problem.sign * c))
    answer = decision.decide(net, problem.feasible_set, integer=problem.integer)
    assert answer.ok
    x = answer.x[0].numpy()
    return x, float(c @ x)


# OR-Tools 9.15 and highspy 1.15 cannot be loaded into one process, and PyEPO loads OR-Tools where it finds it: so that
# OR-Tools is in no extra, and these models are read in a process of their own
READ = """
import numpy as np
from pyepo.model.ort.knapsack import knapsackModel, knapsackModelRel
from pyepo.model.ort.shortestpath import shortestPathModel
import decision
from socicnn.frozen import FrozenNet, Output

rng = np.random.default_rng(0)
W = rng.uniform(3, 8, (2, 8))
path, knapsack = shortestPathModel((3, 4)), knapsackModel(W, [14.0, 14.0])
cut = knapsack.addConstr(np.ones(8), 2.0)
models = {"path": path, "relaxed": knapsackModelRel(W, [14.0, 14.0], "glop"), "whole": knapsack, "cut": cut}
for name, model in models.items():
    problem = decision.from_pyepo(model)
    assert problem.integer == (tuple(range(8)) if name in ("whole", "cut") else ()), name
    assert problem.sign == (1.0 if name == "path" else -1.0), name
    for _ in range(4):
        c = rng.uniform(1, 5, model.num_cost)
        model.setObj(c)
        x, value = model.solve()
        net = FrozenNet([], Output(np.zeros(0), problem.sign * c))
        answer = decision.decide(net, problem.feasible_set, method="exact", integer=problem.integer)
        assert answer.ok, name
        assert abs(c @ answer.x[0].numpy() - value) <= 1e-5 * abs(value), (name, c @ answer.x[0].numpy(), value)
print("read")
"""


def test_models_of_or_tools_are_decided_as_they_solve_themselves() -> None:
    pytest.importorskip("pyepo")
    pytest.importorskip("ortools")
    run = subprocess.run([sys.executable, "-c", READ], capture_output=True, text=True)
    assert run.stdout.strip().endswith("read"), run.stderr


def written() -> Any:
    """Return a problem of PyEPO's modelling language: rows of each sense, bounds, a binary and a free variable."""
    from pyepo import EPO, dsl

    x, y = dsl.Variable(3, lb=0.0, ub=2.0), dsl.Variable(2, vtype=EPO.BINARY)
    c = dsl.Parameter(3)
    rows = [x[0] + x[1] + x[2] >= 2.5, x[0] + y[0] <= 1.5, x[1] - y[1] == 0.5]
    return dsl.Problem(dsl.Minimize(c @ x), rows)


@pytest.mark.extra
def test_a_written_problem_is_read_with_its_binaries() -> None:
    pytest.importorskip("pyepo")
    from scipy.optimize import LinearConstraint, milp

    problem = written()
    read = decision.from_pyepo(SimpleNamespace(problem=problem, modelSense=problem.modelSense, _extra_constrs=[]))
    assert read.feasible_set.n == problem.num_vars == 5
    assert read.integer == (3, 4)
    A = np.array([[1, 1, 1, 0, 0], [1, 0, 0, 1, 0], [0, 1, 0, 0, -1.0]])
    for seed in range(5):
        c = np.concatenate([np.random.default_rng(seed).uniform(-1, 2, 3), np.zeros(2)])
        rows = LinearConstraint(A, [2.5, -np.inf, 0.5], [np.inf, 1.5, 0.5])
        bounds = ([0, 0, 0, 0, 0], [2, 2, 2, 1, 1])
        truth = milp(c, constraints=rows, bounds=bounds, integrality=[0, 0, 0, 1, 1]).fun
        assert decided(read, c)[1] == pytest.approx(truth, rel=1e-6, abs=1e-6)


@pytest.mark.extra
@pytest.mark.parametrize(
    ("objective", "refused"),
    [
        (lambda x, y, c: c @ x + 5.0 * y[0], "known costs beside the predicted c'x.*5.0"),
        (lambda x, y, c: (c + np.ones(3)) @ x, "known costs beside"),
        (lambda x, y, c: c @ x + x @ np.eye(3) @ x, "quadratic cost"),
        (lambda x, y, c: c @ x[[2, 0, 1]], r"belong to the entries \[2, 0, 1\]"),
    ],
)
def test_costs_that_a_set_does_not_hold_are_refused(objective: Any, refused: str) -> None:
    """They were left out in silence: decisions were those of another problem."""
    pytest.importorskip("pyepo")
    from pyepo import dsl

    x, y, c = dsl.Variable(3, lb=0.0, ub=2.0), dsl.Variable(2, lb=0.0, ub=1.0), dsl.Parameter(3)
    problem = dsl.Problem(dsl.Minimize(objective(x, y, c)), [x[0] + x[1] + x[2] + y[0] >= 2.5])
    with pytest.raises(ProgramError, match=refused):
        decision.from_pyepo(SimpleNamespace(problem=problem, modelSense=problem.modelSense, _extra_constrs=[]))


class _Linear:
    """A linear solver as OR-Tools shows it: x_0 <= 10 z, z among the variables but not in the model's solution."""

    def infinity(self) -> float:
        return np.inf

    def NumVariables(self) -> int:
        return 2

    def constraints(self) -> list[Any]:
        return [SimpleNamespace(GetCoefficient=lambda variable: variable.entry, lb=lambda: -np.inf, ub=lambda: 0.0)]


def test_a_variable_of_the_solver_that_is_not_in_the_solution_is_refused() -> None:
    """Its coefficients were left out of the rows: x_0 <= 10 z became x_0 <= 0."""
    ends = {"lb": lambda: 0.0, "ub": lambda: 1.0, "integer": lambda: False}
    x, z = (SimpleNamespace(entry=entry, **ends) for entry in (1.0, -10.0))
    read = decision.from_pyepo(SimpleNamespace(modelSense=-1, _model=_Linear(), _vars_list=[x, z]))
    assert decided(read, np.array([1.0, 0.0]))[1] == pytest.approx(1.0)
    with pytest.raises(ProgramError, match="2 variables, the model's solution 1"):
        decision.from_pyepo(SimpleNamespace(modelSense=-1, _model=_Linear(), _vars_list=[x]))


@pytest.mark.extra
def test_a_portfolio_is_read_with_its_risk(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyepo")
    from pyepo import EPO
    from pyepo.data import portfolio
    from pyepo.model.bases import portfolioBase

    class Portfolio(portfolioBase):
        def _getModel(self) -> Any:
            return None, range(self.num_assets)

        def setObj(self, c: Any) -> None:
            raise NotImplementedError

        def solve(self) -> Any:
            raise NotImplementedError

    S, _, C = portfolio.genData(3, 4, 6, deg=2, noise_level=1, seed=0)
    with pytest.raises(ProgramError, match="Portfolio builds its rows itself"):
        decision.from_pyepo(Portfolio(6, S))
    # as a model of the package, whose solvers are not installed here
    monkeypatch.setattr(Portfolio._getModel, "__module__", "pyepo.model.omo.portfolio")
    problem = decision.from_pyepo(Portfolio(6, S))
    assert problem.sign == float(EPO.MAXIMIZE)
    for c in C.astype(np.float64):
        x, value = decided(problem, c)
        assert abs(x.sum() - 1) < 1e-9
        assert x @ S @ x <= 2.25 * S.mean() * (1 + 1e-9)
        best = _clarabel(c, S, 2.25 * S.mean())
        assert value == pytest.approx(best, rel=1e-6)


def _clarabel(c: np.ndarray, S: np.ndarray, risk: float) -> float:
    import cvxpy as cp

    x = cp.Variable(len(c), nonneg=True)
    return float(cp.Problem(cp.Maximize(c @ x), [cp.sum(x) == 1, cp.quad_form(x, S) <= risk]).solve(solver="CLARABEL"))


SETS = {
    "simplex": (Simplex(4), ()),
    "box": (Box(4, -1.0, 2.0), ()),
    "polytope": (Polytope(A=[[1.0, 2.0, 3.0, 4.0]], b=[5.0], lower=0.0, upper=1.0), ()),
    "whole": (Polytope(A=[[1.0, 2.0, 3.0, 4.0]], b=[5.0], lower=0.0, upper=1.0), (0, 1, 2, 3)),
    "ball": (Ball(4, 2.0), ()),
    "lens": (Intersection([Simplex(4), Ellipsoid([0.6, 0.7, 0.8, 0.9])]), ()),
}


@pytest.mark.extra
@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("maximise", [False, True])
def test_a_set_solves_as_a_model_of_pyepo(name: str, maximise: bool) -> None:
    pytest.importorskip("pyepo")
    feasible_set, integer = SETS[name]
    model = decision.to_pyepo(feasible_set, integer=integer, maximise=maximise)
    assert model.num_cost == 4
    assert decision.from_pyepo(model).feasible_set is feasible_set
    for seed in range(3):
        c = np.random.default_rng(seed).normal(size=4)
        model.setObj(c)
        x, value = model.solve()
        assert value == pytest.approx(float(c @ x))
        sign = -1.0 if maximise else 1.0
        assert sign * value == pytest.approx(_best(sign * c, feasible_set, integer), rel=1e-5, abs=1e-6)


def _best(c: np.ndarray, feasible_set: Any, integer: tuple[int, ...]) -> float:
    if integer:
        points = np.array(np.meshgrid(*[[0.0, 1.0]] * 4)).reshape(4, -1).T
        return float((points[points @ [1.0, 2.0, 3.0, 4.0] <= 5.0] @ c).min())
    import cvxpy as cp

    x = cp.Variable(4)
    return float(cp.Problem(cp.Minimize(c @ x), feasible_set.constraints(x)).solve(solver="CLARABEL"))


@pytest.mark.extra
def test_losses_and_metric_of_pyepo_run_on_a_set() -> None:
    pyepo = pytest.importorskip("pyepo")
    from pyepo.data.dataset import optDataset
    from torch.utils.data import DataLoader

    model = decision.to_pyepo(Polytope(E=[[1.0, 1.0, 1.0]], f=[1.0], lower=0.0, upper=0.7))
    rng = np.random.default_rng(0)
    X = rng.normal(size=(12, 2))
    C = X @ rng.normal(size=(2, 3)) + 2.0
    data = optDataset(model, X, C)
    exact = torch.nn.Linear(2, 3)
    with torch.no_grad():
        fit = np.linalg.lstsq(np.column_stack([X, np.ones(12)]), C, rcond=None)[0]
        exact.weight.copy_(torch.tensor(fit[:2].T))
        exact.bias.copy_(torch.tensor(fit[2]))
    batches = DataLoader(data, batch_size=6)
    assert pyepo.metric.regret(exact, model, batches) < 1e-5
    predictor, loss = torch.nn.Linear(2, 3), pyepo.func.SPOPlus(model, processes=1)
    before = pyepo.metric.regret(predictor, model, batches)
    optimiser = torch.optim.Adam(predictor.parameters(), lr=0.05)
    for _ in range(15):
        for x, c, w, z in batches:
            optimiser.zero_grad()
            loss(predictor(x), c, w, z).backward()
            optimiser.step()
    assert pyepo.metric.regret(predictor, model, batches) < 0.5 * before


@pytest.mark.extra
def test_cuts_and_relaxations_of_a_set_are_models_again() -> None:
    pytest.importorskip("pyepo")
    model = decision.to_pyepo(SETS["whole"][0], integer=(0, 1, 2, 3), maximise=True)
    c = np.array([1.0, 3.0, 3.0, 4.0])
    values = []
    for changed in (model, model.relax(), model.addConstr([1.0, 1.0, 1.0, 1.0], 1.0), model.rebuild(), model.copy()):
        changed.setObj(c)
        values.append(changed.solve()[1])
    assert values == pytest.approx([6.0, 3.0 + 1.0 + 2.0, 4.0, 6.0, 6.0], rel=1e-5)


@pytest.mark.extra
def test_a_set_that_suits_no_model_is_refused() -> None:
    pytest.importorskip("pyepo")
    with pytest.raises(ProgramError, match="moves with the context"):
        decision.to_pyepo(Polytope(A=[[1.0, 1.0]], b=[[1.0], [2.0]], lower=0.0))
    with pytest.raises(ProgramError, match="from 0 to 1"):
        decision.to_pyepo(Simplex(2), integer=(2,))
    with pytest.raises(ModelError, match="2 finite numbers"):
        decision.to_pyepo(Simplex(2)).setObj([1.0, np.nan])
    empty = decision.to_pyepo(Polytope(A=[[1.0, 1.0]], b=[-1.0], lower=0.0))
    with pytest.raises(SolverError):
        empty.solve()


def test_a_model_that_cannot_be_read_is_named() -> None:
    with pytest.raises(ProgramError, match="SimpleNamespace"):
        decision.from_pyepo(SimpleNamespace(modelSense=1))


def test_a_singular_covariance_is_refused() -> None:
    portfolio = SimpleNamespace(modelSense=-1, covariance=np.ones((2, 2)), risk_level=1.0, _extra_constrs=[])
    with pytest.raises(ProgramError, match="singular"):
        decision.from_pyepo(portfolio)


def test_a_portfolio_and_its_cuts_need_no_package() -> None:
    portfolio = SimpleNamespace(
        modelSense=-1, covariance=np.diag([1.0, 4.0]), risk_level=3.0, _extra_constrs=[(np.array([1.0, 0.0]), 0.25)]
    )
    x, _ = decided(decision.from_pyepo(portfolio), np.array([1.0, 1e-3]))
    assert x[0] <= 0.25 + 1e-9
    assert x == pytest.approx([0.25, 0.75], abs=1e-6)


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyepo", None)
    monkeypatch.delitem(sys.modules, "decision._pyepo_model", raising=False)
    with pytest.raises(MissingExtra, match="pyepo"):
        decision.to_pyepo(Simplex(2))
