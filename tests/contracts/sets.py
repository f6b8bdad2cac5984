"""What every feasible set must do: inherit `SetContract`, give `cases`, and these checks run on each."""

from abc import ABC, abstractmethod
from functools import partial
from typing import Any

import cvxpy as cp
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from decision.sets import FeasibleSet, make
from socicnn.errors import ModelError

EPS = {torch.float64: 1e-13, torch.float32: 1e-5}


def hard_points(n: int, generator: torch.Generator) -> Tensor:
    """Points of many scales, with ties, integers, zeros, and entries that differ by 600 orders of magnitude."""
    draw = torch.randn(40, n, generator=generator, dtype=torch.float64)
    huge = draw[:6].sign() * 10.0 ** (300 * draw[:6].abs().clamp(max=1.0))
    parts = [draw * 10.0**k for k in (-12, -1, 0, 1, 6)]
    return torch.cat([*parts, draw.round(), torch.zeros(1, n, dtype=torch.float64), draw[:5] + 1e8, huge, -huge])


class SetContract(ABC):
    """Checks of one set."""

    @abstractmethod
    def cases(self) -> list[FeasibleSet]:
        """Return instances, edge cases included."""

    @pytest.fixture
    def generator(self) -> torch.Generator:
        return torch.Generator().manual_seed(7)

    def test_projection_is_a_member_and_stays(self, generator: torch.Generator) -> None:
        for X in self.cases():
            points = hard_points(X.n, generator)
            for dtype, eps in EPS.items():
                x = points.to(dtype)
                x = x[x.isfinite().all(dim=-1)]
                z = X.project(x)
                assert z.dtype == dtype
                assert z.shape == x.shape
                scale = X.n * (1 + z.abs().max().item())
                assert X.violation(z).max() <= eps * scale, X
                assert (X.project(z) - z).abs().max() <= eps * scale, X

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.differing_executors])
    @given(st.data())
    def test_projection_of_any_floats(self, data: st.DataObject) -> None:
        """Ties, signed zeros, subnormals and the largest floats among them."""
        X = data.draw(st.sampled_from([X for X in self.cases() if X.n <= 10]))
        floats = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([0.0, 0.5, 1.0, -1.0])
        x = torch.tensor(data.draw(st.lists(floats, min_size=X.n, max_size=X.n)), dtype=torch.float64)
        z = X.project(x)
        assert X.contains(z, 1e-13 * X.n * (1 + z.abs().max().item()))
        assert (X.project(z) - z).abs().max() <= 1e-13 * X.n
        order = x.argsort()  # the projections keep the order of coordinates with equal bounds
        if X.name != "box":
            assert (z[order].diff() >= 0).all()

    def test_narrow_floats(self, generator: torch.Generator) -> None:
        for X in self.cases():
            x = torch.randn(20, X.n, generator=generator, dtype=torch.float64)
            for dtype in (torch.float16, torch.bfloat16):
                z = X.project(x.to(dtype))
                assert z.dtype == dtype
                step = torch.finfo(dtype).eps * (1 + X.n) * (1 + z.abs().max())
                assert (z.double() - X.project(x)).abs().max() <= 2 * step, X
                assert X.minimise_linear(x.to(dtype)).dtype == dtype

    def test_nothing_stays_behind_on_the_cpu(self) -> None:
        """On the meta device, which no CPU tensor may meet: shapes and types alone, but of every operation."""
        devices = ["meta", *(["cuda"] if torch.cuda.is_available() else [])]
        for X in self.cases():
            for device in devices:
                x = torch.zeros(3, X.n, device=device)
                for found in (X.project(x), X.minimise_linear(x), X.violation(x), X.contains(x)):
                    assert found.device.type == device
                assert X.centre(device=device).device.type == device

    def test_projection_satisfies_the_variational_inequality(self, generator: torch.Generator) -> None:
        """(x - z)'(s - z) <= 0 for every member s: the largest is at the vertex that the oracle returns."""
        for X in self.cases():
            x = hard_points(X.n, generator)
            x = x[x.abs().amax(dim=-1) < 1e9]
            z = X.project(x)
            normal = x - z
            vertex = X.minimise_linear(-normal)
            slack = (normal * (vertex - z)).sum(dim=-1)
            scale = X.n * (1 + x.abs().amax(dim=-1)) * (1 + X.diameter)
            assert (slack <= 1e-14 * scale).all(), (X, (slack / scale).max())

    def test_projection_agrees_with_a_solver(self, generator: torch.Generator) -> None:
        for X in self.cases():
            x = 2 * torch.randn(3, X.n, generator=generator, dtype=torch.float64)
            z = cp.Variable(X.n)
            point = cp.Parameter(X.n)
            problem = cp.Problem(cp.Minimize(cp.sum_squares(z - point)), X.constraints(z))
            for row in x:
                point.value = row.numpy()
                problem.solve(solver="CLARABEL")
                np.testing.assert_allclose(X.project(row).numpy(), z.value, atol=2e-4)

    def test_oracle_beats_every_member(self, generator: torch.Generator) -> None:
        for X in self.cases():
            members = torch.cat([X.sample(200, generator), X.sample_boundary(200, generator)])
            g = torch.randn(30, X.n, generator=generator, dtype=torch.float64)
            g = torch.cat([g, g.round(), g.abs(), -g.abs(), torch.zeros_like(g[:1])])
            vertex = X.minimise_linear(g)
            assert X.violation(vertex).max() <= 1e-13 * X.n * (1 + vertex.abs().max())
            least = (members @ g.T).min(dim=0).values
            assert ((vertex * g).sum(dim=-1) <= least + 1e-12 * (1 + least.abs())).all(), X

    def test_oracle_agrees_with_a_solver(self, generator: torch.Generator) -> None:
        for X in self.cases():
            g = torch.randn(X.n, generator=generator, dtype=torch.float64)
            z = cp.Variable(X.n)
            value = cp.Problem(cp.Minimize(g.numpy() @ z), X.constraints(z)).solve(solver="CLARABEL")
            assert abs(float(g @ X.minimise_linear(g)) - value) <= 1e-6 * (1 + abs(value)), X

    def test_samples_are_members_and_repeat_with_the_generator(self) -> None:
        for X in self.cases():
            for boundary in (0.0, 0.5, 1.0):
                seeded = lambda b=boundary, X=X: X.sample(50, torch.Generator().manual_seed(3), boundary=b)  # noqa: E731
                x = seeded()
                assert x.shape == (50, X.n)
                assert x.dtype == torch.float64
                assert X.contains(x, 1e-12 * X.n * (1 + x.abs().max().item())).all()
                assert torch.equal(x, seeded())
            assert X.sample(0).shape == (0, X.n)
            assert X.sample(2, dtype=torch.float32).dtype == torch.float32

    def test_centre_is_a_member(self) -> None:
        for X in self.cases():
            assert X.contains(X.centre(), 1e-12 * (1 + X.centre().abs().max().item()))
            assert X.centre(dtype=torch.float32).dtype == torch.float32

    def test_types_and_devices_that_torch_has_not_are_refused_in_a_sentence(self) -> None:
        for X in self.cases():
            for dtype in ("float32", torch.int64):
                for made in (X.centre, partial(X.sample, 2)):
                    with pytest.raises(ModelError, match="dtype must be a floating type of torch"):
                        made(dtype=dtype)
            with pytest.raises(ModelError, match="device must be a torch device"):
                X.centre(device="gpu")

    def test_diameter_bounds_every_distance(self, generator: torch.Generator) -> None:
        for X in self.cases():
            x = X.minimise_linear(torch.randn(60, X.n, generator=generator, dtype=torch.float64))
            assert torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist").max() <= X.diameter * (1 + 1e-12)

    def test_rows_and_constraints_say_the_same_as_contains(self, generator: torch.Generator) -> None:
        """Members satisfy both; a point beyond the set breaks both by as much as `violation` says."""
        for X in self.cases():
            rows = X.rows()
            inside = torch.cat([X.sample(20, generator, boundary=0.5), X.centre()[None]])
            outside = inside + 0.3 * torch.randn(inside.shape, generator=generator, dtype=inside.dtype)
            single = inside.clone()
            single[:, 0] += 0.25  # one coordinate alone
            z = cp.Variable(X.n)
            constraints = X.constraints(z)
            for x in torch.cat([inside, outside, single]):
                slack = rows.h - rows.G @ x.numpy()
                cut, end = rows.cones.zero, rows.cones.zero + rows.cones.nonnegative
                assert end == len(slack)
                worst = max(np.abs(slack[:cut]).max(initial=0.0), (-slack[cut:]).max(initial=0.0))
                z.value = x.numpy()
                said = max(float(np.max(constraint.violation())) for constraint in constraints)
                claimed = float(X.violation(x))
                np.testing.assert_allclose([worst, said], claimed, atol=1e-12)
                assert bool(X.contains(x)) == (claimed <= 1e-9)

    def test_nan_stays_in_its_row(self) -> None:
        for X in self.cases():
            x = torch.zeros(3, X.n, dtype=torch.float64)
            x[1, 0] = torch.nan
            z = X.project(x)
            assert z[[0, 2]].isfinite().all()
            assert z[1].isnan().any()
            assert X.contains(x)[1].logical_not()

    def test_batch_shapes(self, generator: torch.Generator) -> None:
        for X in self.cases():
            x = torch.randn(2, 3, X.n, generator=generator, dtype=torch.float64)
            for method in (X.project, X.minimise_linear):
                assert torch.equal(method(x)[1, 2], method(x[1, 2]))
                assert method(x[:0]).shape == (0, 3, X.n)
            assert X.violation(x).shape == (2, 3)

    def test_config_makes_the_set_again(self) -> None:
        for X in self.cases():
            again: Any = make(X.name, **X.config())
            assert repr(again) == repr(X)
            assert torch.equal(again.centre(), X.centre())

    def test_wrong_points_are_refused(self) -> None:
        for X in self.cases():
            with pytest.raises(ValueError, match="must have shape"):
                X.project(torch.zeros(2, X.n + 1))
            with pytest.raises(ValueError, match="float type"):
                X.project(torch.zeros(2, X.n, dtype=torch.int64))
            with pytest.raises(ValueError, match="CVXPY expression of shape"):
                X.constraints(cp.Variable(X.n + 1))

    def test_the_length_may_be_an_integer_of_numpy(self) -> None:
        for X in self.cases():
            again = make(X.name, np.int64(X.n), **{k: v for k, v in X.config().items() if k != "n"})
            assert again.n == X.n
            assert type(again.n) is int
            for wrong in (True, 2.5, "3", np.True_):
                with pytest.raises(ValueError, match=r"n of a .* must be an integer"):
                    make(X.name, wrong, **{k: v for k, v in X.config().items() if k != "n"})
