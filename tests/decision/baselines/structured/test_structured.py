import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import cvxpy as cp
import numpy as np
import pytest
import torch

import socicnn
import verify
from decision import decide
from decision._atoms import Huber, LogisticAtom, LogSumExpAtom
from decision._parametric import ParametricProgram
from decision.baselines import Structured, StructuredDCP, StructuredPCF
from decision.sets import Box, Budget, FeasibleSet, Simplex
from socicnn._compile import value_program
from socicnn.errors import ModelError, NoProgramError, SolverError
from socicnn.nn._context import SKIP
from tests.contracts.networks import NetworkContract, units
from tests.support.cases import Case, generator

ROOT = Path(__file__).parents[4]
KINDS = [StructuredPCF, StructuredDCP]


def case(kind: type[Structured], n: int, p: int, rows: int) -> Case:
    return Case(kind.__name__, lambda **more: kind(n, p, rows=rows, **more))


class TestPCF(NetworkContract):
    case = case(StructuredPCF, 3, 2, 4)


class TestPCFOfOneFeature(NetworkContract):
    case = case(StructuredPCF, 1, 1, 1)


class TestDCP(NetworkContract):
    case = case(StructuredDCP, 3, 2, 4)


@pytest.mark.parametrize("n", [10, 20, 50])
def test_parameter_counts(n: int) -> None:
    counts = [sum(parameter.numel() for parameter in kind(n).parameters()) for kind in KINDS]
    assert counts == [51 * n + 243, 57 * n + 675]


def model_of(kind: type[Structured], n: int = 5) -> Structured:
    model = kind(n, 3, generator=generator(1), dtype=torch.float64)
    units(model)
    return model


@pytest.mark.parametrize("kind", KINDS)
def test_value_is_the_formula(kind: type[Structured]) -> None:
    n, p = 4, 3
    model = kind(n, p, generator=generator(0), dtype=torch.float64)
    x, theta = torch.randn(2, n, dtype=torch.float64)[0].numpy(), torch.randn(p, dtype=torch.float64).numpy()
    skip = model.vectors.skip
    heads = skip.weight.detach().numpy() @ theta + skip.bias.detach().numpy()
    softplus = lambda r: np.log(1 + np.exp(r))  # noqa: E731
    raw = dict(zip(model.vectors.names, np.split(heads, np.cumsum(model.vectors.sizes)[:-1]), strict=True))
    value = raw["q"] @ x + raw["c"][0]
    if kind is StructuredPCF:
        m, d = raw["m"], softplus(raw["d"])
        value += 0.5 * sum(d[i] * (x[i] - m[i]) ** 2 for i in range(n))
    for k in range(2 if kind is StructuredPCF else 4):
        u = model.A[k].detach().numpy() @ x - raw[f"s{k + 1}"]
        beta = softplus(raw[f"beta{k + 1}"])
        if len(beta) == 1:
            value += beta[0] * np.sqrt(sum(u**2))
        else:
            value += sum(beta * (softplus(u) if k == 0 else u**2))
    assert model(torch.tensor(x), torch.tensor(theta)).item() == pytest.approx(value, rel=1e-13)


@pytest.mark.parametrize("kind", KINDS)
def test_start(kind: type[Structured]) -> None:
    """At context zero every vector is its own start; the heads have the skip's law, the matrices N(0, 1/n)."""
    n, p = 40, 8
    model = kind(n, p, generator=generator(0), dtype=torch.float64)
    vectors = model.vectors(torch.zeros(p, dtype=torch.float64))
    starts = {"q": 0.0, "c": 0.0, "m": 0.0, "d": 1 / n}
    for name, vector in vectors.items():
        start = starts.get(name, 0.0 if name.startswith("s") else 12**-0.5 if vector.numel() == 1 else 1 / 12)
        torch.testing.assert_close(vector, torch.full_like(vector, start))
    assert model.vectors.skip.weight.detach().std() * p**0.5 / SKIP == pytest.approx(1, abs=0.1)
    for A in model.A:
        assert A.detach().std() * n**0.5 == pytest.approx(1, abs=0.1)
    same = kind(n, p, generator=generator(0), dtype=torch.float64)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), same.parameters(), strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_expression_is_the_value_and_convex(kind: type[Structured]) -> None:
    model = model_of(kind)
    theta = torch.randn(6, 3, generator=generator(2), dtype=torch.float64)
    points = 2 * torch.randn(6, 5, generator=generator(3), dtype=torch.float64)
    x = cp.Variable(5)
    for point, context in zip(points, theta, strict=True):
        expression = model.expression(x, context)
        assert expression.is_convex()
        assert not expression.is_concave()
        x.value = point.numpy()
        assert float(expression.value) == pytest.approx(model(point, context).item(), rel=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("feasible_set", [Simplex(5), Box(5, -1.0, 2.0), Budget(5, 1.5)], ids=lambda X: X.name)
def test_minimize_is_optimal(kind: type[Structured], feasible_set: FeasibleSet) -> None:
    model = model_of(kind)
    theta = torch.randn(8, 3, generator=generator(2), dtype=torch.float64)
    x = model.minimise(feasible_set, theta)
    assert feasible_set.contains(x, 1e-12).all()
    point = x.clone().requires_grad_()
    value = model(point, theta)
    (g,) = torch.autograd.grad(value.sum(), point)
    gap = (g * (x - feasible_set.minimise_linear(g))).sum(dim=-1)
    assert (gap <= 1e-4 * (1 + value.abs())).all()
    x_problem = cp.Variable(5)
    for i in range(2):
        problem = cp.Problem(cp.Minimize(model.expression(x_problem, theta[i])), feasible_set.constraints(x_problem))
        assert problem.solve(solver="CLARABEL") == pytest.approx(value[i].item(), abs=1e-6)


@pytest.mark.parametrize("broken", [("clarabel",), ("clarabel", "ecos", "scs")], ids=" ".join)
def test_a_context_that_a_solver_fails_at_goes_to_others(
    broken: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = model_of(StructuredDCP)
    theta = torch.randn(4, 3, generator=generator(2), dtype=torch.float64)
    X = Simplex(5)
    right = model.minimise(X, theta)
    bad = model.coefficients(theta)[0].g[2]
    attempt = ParametricProgram._attempt

    def breaking(self: ParametricProgram, program: Any, solver: str, attempts: Any) -> Any:
        if solver in broken and (program.g.value == bad).all():
            raise SolverError(f"{solver} broke down")
        return attempt(self, program, solver, attempts)

    monkeypatch.setattr(ParametricProgram, "_attempt", breaking)
    x = model.minimise(X, theta, on_failure="nan")
    others = [0, 1, 3]
    assert torch.equal(x[others], right[others])
    if "scs" not in broken:
        assert (x[2] - right[2]).abs().max() <= 1e-4
        assert torch.equal(model.minimise(X, theta), x)
        return
    assert x[2].isnan().all()
    with pytest.raises(SolverError, match="clarabel broke down"):
        model.minimise(X, theta)


def test_pcf_is_verified_and_its_exact_program_agrees() -> None:
    model = model_of(StructuredPCF)
    theta = torch.randn(4, 3, generator=generator(2), dtype=torch.float64)
    X = Budget(5, 1.5)
    x = model.minimise(X, theta)
    report = verify.equivalence(model, x, theta)
    assert report.ok, str(report)
    for i in range(4):
        solution = value_program(model, theta[i]).free(X.rows()).solve()
        assert solution.value == pytest.approx(model(x[i], theta[i]).item(), abs=1e-6)


def test_dcp_is_proven_and_decided_in_real_arithmetic() -> None:
    """Its softplus atoms are a branch: the program is checked, and a decision's gap holds the solver's minimum."""
    model = model_of(StructuredDCP)
    theta = torch.randn(4, 3, generator=generator(5), dtype=torch.float64)
    X = Budget(5, 1.5)
    x = model.minimise(X, theta)
    verify.equivalence(model, x, theta, proof=True).raise_if_failed()
    found = decide(model, X, theta)
    assert bool(found.certified.all()), found.status
    assert "float64" not in found.status
    assert (found.value - found.gap <= model(x, theta) + 1e-9).all()


def test_atoms_without_rows_of_a_program_are_named() -> None:
    class Other(Structured):
        atoms = (Huber(),)
        diagonal = False

    with pytest.raises(NoProgramError, match=r"Other has huber atoms.*`model.minimise"):
        Other(2).freeze(torch.zeros(8))


def test_log_sum_exp_atoms_are_branches() -> None:
    """What had no program is proven and decided: against CVXPY's `log_sum_exp`."""

    class Smooth(Structured):
        atoms = (LogSumExpAtom(), LogisticAtom())
        diagonal = True

    model = Smooth(3, 2, rows=4, generator=generator(1), dtype=torch.float64)
    theta = torch.randn(3, 2, generator=generator(2), dtype=torch.float64)
    x = model.minimise(Simplex(3), theta)
    verify.equivalence(model, x, theta, proof=True).raise_if_failed()
    found = decide(model, Simplex(3), theta)
    assert bool(found.certified.all()), found.status
    torch.testing.assert_close(found.value, model(x, theta), rtol=1e-6, atol=1e-6)


def test_unusable_arguments_are_refused() -> None:
    model = StructuredPCF(3)
    with pytest.raises(ModelError, match="4 coordinates, the model 3"):
        model.minimise(Simplex(4), torch.zeros(1, 8))
    with pytest.raises(ModelError, match="received one context"):
        model.minimise(Simplex(3), torch.zeros(8))
    with pytest.raises(ModelError, match="there are: clarabel"):
        model.minimise(Simplex(3), torch.zeros(1, 8), solver="gurobi")
    with pytest.raises(ModelError, match="rows must be an integer"):
        StructuredPCF(3, rows=0)
    with pytest.raises(SolverError, match="did not solve a StructuredPCF"):
        model.minimise(Simplex(3), torch.zeros(1, 8), max_iter=1)


@pytest.mark.parametrize("kind", KINDS)
def test_a_process_that_knows_nothing_of_it_loads_it(kind: type[Structured], tmp_path: Path) -> None:
    model = kind(3, 2, rows=2, generator=generator(0))
    socicnn.save(model, tmp_path / "model.safetensors")
    points = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["socicnn.networks"]
    info = tmp_path / "installed-1.dist-info"  # as pip leaves it; a package that runs from its sources has none
    info.mkdir()
    lines = [f"{name} = {value}" for name, value in points.items()]
    (info / "entry_points.txt").write_text("\n".join(["[socicnn.networks]", *lines]))
    script = "import sys, socicnn; print(type(socicnn.load(sys.argv[1])).__name__)"
    found = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "model.safetensors"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == kind.__name__
