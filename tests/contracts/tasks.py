"""What every task of the benchmark must do: inherit `TaskContract`, give the name and the slow truth."""

from abc import ABC, abstractmethod

import cvxpy as cp
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import decision
from decision.tasks import Task, from_arrays, make, task_arrays

Vector = NDArray[np.float64]


def softplus(r: Vector) -> Vector:
    return np.log1p(np.exp(r))


class TaskContract(ABC):
    """Checks of one task."""

    name: str
    quad: float
    second_solver = "ecos"
    rows: dict[int, tuple[int, ...]]  # n -> rows of each block
    feasible_set: type
    # scale of M and of C, times 1 / sqrt(8); half-range of the offsets, scale of S; range of beta's bias, scale of B
    scales: tuple[float, float, float, float, tuple[float, float], float]

    @abstractmethod
    def centre(self, raw: Vector) -> Vector:
        """Return m(theta) from m0 + M theta."""

    @abstractmethod
    def family(self, u: Vector, raw: Vector) -> float:
        """Return one block's term from u = A x - s(theta) and the raw weights beta + B theta."""

    @pytest.fixture(params=[1, 10, 20])
    def task(self, request: pytest.FixtureRequest) -> Task:
        return make(self.name, features=request.param, seed=3)

    def truth(self, task: Task, x: Vector, theta: Vector) -> float:
        a = task_arrays(task)
        m = self.centre(a["m0"] + a["M"] @ theta)
        c = np.minimum(np.maximum(a["c0"] + a["C"] @ theta, -2), 2)
        value = 0.5 * self.quad * sum((a["w"][i] * (x[i] - m[i])) ** 2 for i in range(len(x))) + c @ x
        for k in range(1, 3):
            if f"A{k}" in a:
                u = a[f"A{k}"] @ x - (a[f"s{k}"] + a[f"S{k}"] @ theta)
                value += self.family(u, a[f"beta{k}"] + a[f"B{k}"] @ theta)
        return float(value)

    def test_cost_is_the_formula(self, task: Task) -> None:
        data = task.sample(contexts=8, candidates=3, seed=0)
        contexts = 4 * data.context  # large contexts reach the clips
        y = task.cost(data.x, contexts)
        for i in range(8):
            for j in range(3):
                truth = self.truth(task, data.x[i, j].numpy(), contexts[i].numpy())
                assert abs(float(y[i, j]) - truth) <= 1e-13 * (1 + abs(truth))

    def test_cost_is_the_cvxpy_expression(self, task: Task) -> None:
        x = cp.Variable(task.in_features)
        for theta in task.sample_contexts(3, seed=0):
            expression = task.expression(x, theta)
            assert expression.is_convex()
            for point in (torch.randn(task.in_features, dtype=torch.float64), 30 * torch.ones(task.in_features)):
                x.value = point.numpy()
                value = float(task.cost(point, theta))
                assert abs(float(expression.value) - value) <= 1e-12 * (1 + abs(value))

    def test_cost_is_convex_and_differentiable(self, task: Task) -> None:
        generator = torch.Generator().manual_seed(0)
        theta = task.sample_contexts(200, seed=0)
        a, b = 2 * torch.randn(2, 200, task.in_features, generator=generator, dtype=torch.float64)
        t = torch.rand(200, 1, generator=generator, dtype=torch.float64)
        chord = t[:, 0] * task.cost(a, theta) + (1 - t[:, 0]) * task.cost(b, theta)
        assert (task.cost(t * a + (1 - t) * b, theta) <= chord + 1e-12 * (1 + chord.abs())).all()
        x = a[:4].clone().requires_grad_()
        assert torch.autograd.gradcheck(lambda x: task.cost(x, theta[:4]), (x,))

    def test_contexts_belong_to_the_leading_axes(self, task: Task) -> None:
        data = task.sample(contexts=4, candidates=3, seed=0)
        for other in (
            task.cost(data.x, data.context[:, None]),
            task.cost(data.x.transpose(0, 1), data.context[None]).T,
        ):
            assert torch.allclose(other, data.y, rtol=1e-14, atol=1e-14)
        assert torch.allclose(task.cost(data.x[:, 0], data.context), data.y[:, 0], rtol=1e-14, atol=1e-14)
        assert torch.allclose(task.cost(data.x[2], data.context[2]), data.y[2], rtol=1e-14, atol=1e-14)
        with pytest.raises(ValueError, match="context must have shape"):
            task.cost(data.x, data.x)

    def test_optimum_beats_members_and_is_stationary(self, task: Task) -> None:
        theta = task.sample_contexts(6, seed=2)
        x, F = task.optimum(theta, cross_check=self.second_solver)
        assert task.feasible_set.contains(x, 1e-12).all()
        generator = torch.Generator().manual_seed(0)
        X = task.feasible_set
        near = X.project(x[:, None] + 0.05 * torch.randn(6, 200, X.n, generator=generator, dtype=torch.float64))
        for members in (X.sample(500, generator, boundary=0.5)[None], near):
            assert (task.cost(members, theta[:, None]).amin(dim=1) >= F - 1e-7 * (1 + F.abs())).all()
        kink = torch.zeros(6, dtype=torch.bool)
        for block in task.blocks:
            kink |= torch.linalg.vector_norm(x @ block.A.T - block.offset(theta), dim=-1) < 1e-6
        gap = task.gap(x, theta)
        assert (gap >= -1e-12).all()
        assert (gap[~kink] <= 1e-4 * (1 + F[~kink].abs())).all()
        assert kink.sum() <= 3

    def test_the_seed_decides_everything(self) -> None:
        task, same, other = (make(self.name, seed=seed) for seed in (5, 5, 6))
        one, two = task_arrays(task), task_arrays(same)
        assert all(np.array_equal(one[key], two[key]) for key in one)
        assert not np.array_equal(one["w"], task_arrays(other)["w"])
        data, again, new = task.sample(4, 3, seed=1), same.sample(4, 3, seed=1), task.sample(4, 3, seed=2)
        assert torch.equal(data.x, again.x)
        assert torch.equal(data.y, again.y)
        assert torch.equal(data.context, task.sample_contexts(4, seed=1))
        assert not torch.isclose(data.context, new.context).any()
        assert task.feasible_set.contains(data.x).all()

    def test_arrays_make_the_task_again(self, task: Task) -> None:
        again = from_arrays(self.name, task_arrays(task))
        data = task.sample(5, 4, seed=0)
        assert torch.equal(again.cost(data.x, data.context), data.y)
        assert repr(again) == repr(task)

    def test_wrong_arrays_are_refused(self) -> None:
        arrays = task_arrays(make(self.name, seed=0))
        for change, reason in (
            ({"A1": arrays["A1"][:, :-1]}, "block 1 needs A"),
            ({"w": arrays["w"][:, None]}, "w, the centre"),
            ({"C": arrays["C"] * np.nan}, "non-finite"),
            ({"S1": arrays["S1"][:, :5]}, "same number p"),
            ({"B1": arrays["B1"][:0]}, "weights"),
            ({"lam": arrays["w"]}, "not known"),
        ):
            with pytest.raises(ValueError, match=reason):
                from_arrays(self.name, {**arrays, **change})
        with pytest.raises(ValueError, match=r"missing \['w'\]"):
            from_arrays(self.name, {key: value for key, value in arrays.items() if key != "w"})

    def test_sizes_are_those_of_the_benchmark(self) -> None:
        for n, rows in self.rows.items():
            task = make(self.name, features=n, seed=0)
            assert tuple(len(block.A) for block in task.blocks) == rows
            assert type(task.feasible_set) is self.feasible_set
            assert (task.in_features, task.context_features) == (n, 8)
            if isinstance(task.feasible_set, decision.Budget):
                assert task.feasible_set.total == pytest.approx(0.3 * n)

    def test_arrays_have_the_distributions_of_the_benchmark(self) -> None:
        """Over 60 tasks: normal entries by their variance, uniform ones by their ends and mean."""
        drawn = [task_arrays(make(self.name, features=20, seed=seed)) for seed in range(60)]
        stack = {key: np.stack([arrays[key] for arrays in drawn]) for key in drawn[0]}
        M, C, s, S, beta, B = self.scales
        blocks = sum(key.startswith("A") for key in stack)
        normal = {"M": M / 8**0.5, "C": C / 8**0.5}
        uniform = {"w": (0.8, 1.6), "c0": (-0.3, 0.3)}
        for k in range(1, blocks + 1):
            normal |= {f"A{k}": 1 / 20**0.5, f"S{k}": S / 8**0.5, f"B{k}": B / 8**0.5}
            uniform |= {f"s{k}": (-s, s), f"beta{k}": beta}
        for key, deviation in normal.items():
            values = stack[key].ravel()
            assert abs(values.mean()) < 4.5 * deviation / values.size**0.5, key
            assert abs(values.std() / deviation - 1) < 4.5 / (2 * values.size) ** 0.5, key
            assert abs(((values / deviation) ** 4).mean() / 3 - 1) < 0.35, key
        for key, (lower, upper) in uniform.items():
            values = (stack[key].ravel() - lower) / (upper - lower)
            assert values.min() >= 0, key
            assert values.max() <= 1, key
            assert values.min() < 10 / values.size, key
            assert 1 - values.max() < 10 / values.size, key
            assert abs(values.mean() - 0.5) < 4.5 / (12 * values.size) ** 0.5, key
        self.check_m0(stack["m0"])
        context = make(self.name, seed=0).sample_contexts(5000, seed=0)
        assert context.mean(dim=0).abs().max() < 0.07
        assert (torch.cov(context.T) - torch.eye(8)).abs().max() < 0.1

    @abstractmethod
    def check_m0(self, m0: Vector) -> None:
        """Check the centre's biases of many tasks, shape `(tasks, 20)`."""
