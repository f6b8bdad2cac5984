"""log Z by quadrature and by brackets, against closed forms."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from socicnn.density import (
    Energy,
    annealed,
    importance,
    log_partition_bounds,
    quadrature,
    sample,
    target,
    total_variation,
)
from socicnn.density._integration import COARSE, FINE, NODES
from socicnn.errors import ModelError

# E, its log Z over the line, a window that leaves out less than 1e-12 of exp(-E)
ENERGIES: dict[str, tuple[Callable[[Tensor], Tensor], float, float, float]] = {
    "normal": (lambda x: 0.5 * x.square(), 0.5 * math.log(2 * math.pi), -8.0, 8.0),
    "narrow": (lambda x: 50 * (x - 1).square(), 0.5 * math.log(2 * math.pi / 100), -0.2, 2.2),
    "laplace": (lambda x: x.abs(), math.log(2), -30.0, 30.0),
    "asymmetric": (lambda x: torch.maximum(-5 * x, 0.7 * x), math.log(1 / 5 + 1 / 0.7), -6.0, 41.0),
    "quartic": (lambda x: x**4, math.log(2 * math.gamma(1.25)), -3.0, 3.0),
    "logistic": (lambda x: x + 2 * torch.nn.functional.softplus(-x), 0.0, -32.0, 32.0),
    "gumbel": (lambda x: x + torch.exp(-x), 0.0, -4.0, 30.0),
    "shifted": (lambda x: 0.5 * x.square() + 3e4, 0.5 * math.log(2 * math.pi) - 3e4, -8.0, 8.0),
}


class TestRule:
    def test_degrees(self) -> None:
        for degree in range(23):
            exact = (1 + (-1) ** degree) / (degree + 1)
            assert FINE @ NODES**degree == pytest.approx(exact, abs=1e-14)
            if degree <= 13:
                assert COARSE @ NODES**degree == pytest.approx(exact, abs=1e-14)
        assert abs(FINE @ NODES**24 - 2 / 25) > 1e-12
        assert abs(COARSE @ NODES**14 - 2 / 15) > 1e-8

    @pytest.mark.parametrize("name", ENERGIES)
    @pytest.mark.parametrize("panels", [2, 5, 13, 40])
    def test_error_estimate_covers_the_error(self, name: str, panels: int) -> None:
        energy, exact, lower, upper = ENERGIES[name]
        rule = quadrature([lower], [upper], [panels], dtype=torch.float64)
        values = energy(rule.nodes[:, 0])
        found = float(rule.log_partition(values))
        assert abs(found - exact) <= float(rule.error(values)) + 1e-11
        if panels == 40:
            assert abs(found - exact) < (1e-2 if name in ("laplace", "asymmetric") else 1e-11)

    def test_the_error_of_kinks_is_covered(self) -> None:
        """Where a ReLU network has kinks, two rules agree by chance: in one of seven of these cases they did."""
        draw, off = np.random.default_rng(0), []
        for _ in range(300):
            pieces = int(draw.integers(3, 7))
            slopes = np.sort(draw.normal(0, 10 ** draw.uniform(-0.5, 1), pieces))
            kinks = np.sort(draw.normal(0, 3, pieces - 1))
            offsets = np.concatenate([[0.0], np.cumsum(-np.diff(slopes) * kinks)])
            ends = np.array([kinks[0] - 3.0, *kinks, kinks[-1] + 3.0])
            values = (ends[:, None] * slopes + offsets).max(axis=1)
            values -= values.min()
            masses = -np.diff(np.exp(-values)) / slopes
            rule = quadrature(ends[0], ends[-1], dtype=torch.float64)
            at = (rule.nodes.numpy() * slopes + offsets).max(axis=1)
            shift = (ends[:, None] * slopes + offsets).max(axis=1).min()
            found = rule.estimate(torch.from_numpy(at - shift))
            if found.error < 0.1:
                off.append(abs(found - math.log(masses.sum())) > found.error + 1e-11)
        assert len(off) > 150
        assert np.mean(off) < 0.01

    def test_the_error_has_a_gradient_where_panels_hold_no_mass(self) -> None:
        rule = quadrature([-100.0], [100.0], dtype=torch.float64)
        energies = rule.nodes[:, 0].square().requires_grad_()
        rule.error(energies).backward()
        assert energies.grad is not None
        assert bool(energies.grad.isfinite().all())

    def test_two_oblique_kinks_in_two_dimensions(self) -> None:
        def energy(x: torch.Tensor) -> torch.Tensor:
            return 2 * (x[:, 0] + 0.4 * x[:, 1]).abs() + (x[:, 1] - 0.3 * x[:, 0] - 0.2).abs()

        exact = math.log(2 * 1 / (1 + 0.4 * 0.3))  # int exp(-2|u| - |v|) du dv over |det|, the box holds it all
        for panels in (3, 4, 5, 8):  # of 4 the two rules agree by chance
            rule = quadrature([-16.0, -16.0], [16.0, 16.0], [panels, panels], dtype=torch.float64)
            found = rule.estimate(energy(rule.nodes))
            assert abs(found - exact) <= found.error + 1e-5

    def test_two_dimensions(self) -> None:
        M = torch.tensor([[2.0, 0.6], [0.6, 0.5]], dtype=torch.float64)
        rule = quadrature([-9.0, -12.0], [9.0, 12.0], [6, 6], dtype=torch.float64)
        values = 0.5 * torch.einsum("ij,jk,ik->i", rule.nodes, M, rule.nodes)
        exact = math.log(2 * math.pi) - 0.5 * float(torch.logdet(M))
        assert abs(float(rule.log_partition(values)) - exact) < 1e-9
        assert float(rule.error(values)) < 1e-3
        assert rule.nodes.shape == ((6 * 15) ** 2, 2)

    def test_is_differentiable(self) -> None:
        a = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
        rule = quadrature([-8.0], [8.0], dtype=torch.float64)
        (slope,) = torch.autograd.grad(rule.log_partition(0.5 * a * rule.nodes[:, 0].square()), a)
        assert float(slope) == pytest.approx(-1 / 6, abs=1e-9)

    def test_batches_of_energies(self) -> None:
        rule = quadrature([0.0], [1.0], [1])
        assert rule.log_partition(torch.zeros(4, 3, 15)).shape == (4, 3)
        assert torch.allclose(rule.log_partition(torch.zeros(15)), torch.zeros(()), atol=1e-6)

    def test_what_cannot_be_is_refused(self) -> None:
        with pytest.raises(ModelError, match="one or two dimensions; received 3"):
            quadrature([0.0] * 3, [1.0] * 3)
        with pytest.raises(ModelError, match="finite lower < upper"):
            quadrature([0.0], [0.0])
        with pytest.raises(ModelError, match="finite lower < upper"):
            quadrature([-math.inf], [0.0])
        with pytest.raises(ModelError, match="panels"):
            quadrature([0.0], [1.0], [0])
        for panels in (2.5, "12", [[3]], [3, 2], True):
            with pytest.raises(ModelError, match="panels must be 1 integers"):
                quadrature(0.0, 1.0, panels)
        with pytest.raises(ModelError, match="panels must be 2 integers"):
            quadrature([0.0, 0.0], [1.0, 1.0], 3)
        for ends in (([[0.0]], [1.0]), (0.0, [1.0, 2.0]), ([], [])):
            with pytest.raises(ModelError, match=r"finite lower < upper|received 0"):
                quadrature(*ends)
        for ends in (("0", "1"), (0.0, None)):
            with pytest.raises(ModelError, match="real numbers"):
                quadrature(*ends)

    def test_energies_that_are_not_one_per_node_are_refused(self) -> None:
        """A column broadcasts to all pairs of nodes: log Z of each row was a number, and no one's."""
        rule = quadrature(-8.0, 8.0, dtype=torch.float64)
        column = 0.5 * rule.nodes.square()
        for ask in (rule.log_partition, rule.estimate):
            with pytest.raises(ModelError, match=r"180 points must have shape \(180,\); .* give values\[:, 0\]"):
                ask(column)
            with pytest.raises(ModelError, match=r"received \(179,\)"):
                ask(column[1:, 0])
        with pytest.raises(ModelError, match=r"received \(8000, 1\): give values\[:, 0\]"):
            total_variation(lambda x: x.abs(), target("laplace"))
        proposal = importance(torch.linspace(-2, 2, 50, dtype=torch.float64)[:, None], 5)
        for use in (sample, annealed):
            with pytest.raises(ModelError, match=r"received \(5, 1\): give values\[:, 0\]"):
                use(lambda x: x.abs(), proposal)

    @pytest.mark.parametrize("ends", [(1e5, 1e5 + 1), (1.7e9, 1.7e9 + 1e4)])
    def test_nodes_that_the_type_does_not_tell_apart_are_refused(self, ends: tuple[float, float]) -> None:
        with pytest.raises(ModelError, match=r"float32 does not tell all nodes between .* apart; take points nearer"):
            quadrature(*ends, dtype=torch.float32)
        rule = quadrature(*ends, dtype=torch.float64)
        assert float(rule.log_partition(0 * rule.nodes[:, 0])) == pytest.approx(math.log(ends[1] - ends[0]))

    def test_numbers_are_the_ends_of_one_dimension(self) -> None:
        expected = quadrature([-8.0], [8.0], [20])
        for ends in ((-8.0, 8.0, 20), (-8, [8], [20]), (np.float32(-8), torch.tensor([8.0]), np.array(20))):
            rule = quadrature(*ends)
            assert torch.equal(rule.nodes, expected.nodes)
            assert (rule.lower, rule.upper) == ((-8.0,), (8.0,))


class TestBracket:
    @pytest.mark.parametrize("name", ENERGIES)
    @pytest.mark.parametrize("points", [20, 300, 5000])
    def test_holds_the_value(self, name: str, points: int) -> None:
        energy, exact, lower, upper = ENERGIES[name]
        lo, hi = log_partition_bounds(lambda x: energy(x[:, 0]), lower, upper, points)
        slack = 1e-12 * max(1.0, abs(exact))
        assert lo - slack <= exact <= hi + slack
        if points == 5000:
            assert hi - lo < 5e-4

    def test_tails_are_counted(self) -> None:
        lo, hi = log_partition_bounds(lambda x: x[:, 0].abs(), -1.0, 1.0, 2001)
        assert lo == pytest.approx(math.log(2 - 2 / math.e), abs=1e-6)
        assert hi == pytest.approx(math.log(2), abs=1e-6)

    @pytest.mark.parametrize(
        ("slope", "end"), [(2.0, "lower end"), (-2.0, "upper end"), (0.0, "lower end")], ids=["up", "down", "flat"]
    )
    def test_an_energy_that_does_not_rise_is_refused(self, slope: float, end: str) -> None:
        with pytest.raises(ModelError, match=f"no finite upper bound.*{end}"):
            log_partition_bounds(lambda x: slope * x[:, 0], 0.0, 1.0)

    @pytest.mark.parametrize("half", [8.0, 60.0, 1e3, 1.5e3, 1e4, 1e8, 1e100])
    @pytest.mark.parametrize("points", [2, 3, 4, 5, 20, 4096])
    def test_steep_energies_overflow_nowhere(self, half: float, points: int) -> None:
        lo, hi = log_partition_bounds(lambda x: 0.5 * x[:, 0].square(), -half, half, points)
        assert -math.inf < lo <= 0.5 * math.log(2 * math.pi) <= hi < math.inf

    @pytest.mark.parametrize("rate", [1e-300, 1e-8, 1e8, 1e150])
    def test_flat_and_steep_laplace_laws(self, rate: float) -> None:
        lo, hi = log_partition_bounds(lambda x: rate * x[:, 0].abs(), -10.0, 10.0)
        assert -math.inf < lo <= math.log(2) - math.log(rate) <= hi < math.inf

    @pytest.mark.parametrize("power", [2, 4, 6, 20])
    def test_even_powers(self, power: int) -> None:
        lo, hi = log_partition_bounds(lambda x: x[:, 0] ** power, -3.0, 3.0)
        assert lo <= math.log(2 * math.gamma(1 + 1 / power)) <= hi
        assert hi - lo < 1e-4

    @pytest.mark.parametrize("points", [4, 100, 4096])
    def test_laws_of_bounded_support(self, points: int) -> None:
        def uniform(x: Tensor) -> Tensor:
            return torch.where(x[:, 0].abs() < 1, 0 * x[:, 0], torch.inf)

        def parabola(x: Tensor) -> Tensor:  # exp(-E) = 1 - x^2, of mass 4/3
            inside = x[:, 0].abs() < 1
            return torch.where(inside, -torch.log(torch.where(inside, 1 - x[:, 0].square(), 1.0)), torch.inf)

        for energy, mass in ((uniform, 2.0), (parabola, 4 / 3)):
            lo, hi = log_partition_bounds(energy, -2.0, 1.5, points)
            assert lo <= math.log(mass) <= hi
            assert hi - lo < 8 / points

    def test_ends_are_ordered_where_both_bounds_are_exact(self) -> None:
        draw = np.random.default_rng(0)
        for _ in range(50):
            a, b, c = draw.exponential(3.0, 3)
            lo, hi = log_partition_bounds(lambda x: torch.maximum(-a * x[:, 0], b * x[:, 0]) + c, -60.0 / a, 60.0 / b)  # noqa: B023 (called at once)
            assert lo <= math.log(1 / a + 1 / b) - c <= hi

    @pytest.mark.parametrize(
        ("energy", "message"),
        [
            (lambda x: torch.log(x[:, 0]), "is NaN at x = -1"),
            (lambda x: torch.where(x[:, 0] < 0, -torch.inf, x[:, 0]), "is -inf at x = -1"),
            (lambda x: 0 * x[:, 0] + torch.inf, "finite at 0 of 4096 points|NaN"),
            (lambda x: -torch.sqrt(1 - x[:, 0].square()), "slope of the energy is not finite at x = -1"),
            (lambda x: torch.where(x[:, 0].abs() > 0.5, x[:, 0], torch.inf), "not convex"),
            (lambda x: x, "values of shape"),
            (lambda x: x[:, 0].detach(), "without graph"),
            (lambda x: 1e150 * x[:, 0].square() + 1e306 * torch.sin(9 * x[:, 0]), "not convex"),
        ],
    )
    def test_energies_that_give_no_bracket_are_refused(self, energy: Callable[[Tensor], Tensor], message: str) -> None:
        with pytest.raises(ModelError, match=message):
            log_partition_bounds(energy, -1.0, 1.0)

    def test_a_grid_that_float64_does_not_resolve_is_refused(self) -> None:
        for lower, upper in ((1.0, 1.0 + 1e-13), (-1.7e308, 1.7e308)):
            with pytest.raises(ModelError, match="does not resolve"):
                log_partition_bounds(lambda x: x[:, 0].square(), lower, upper)

    def test_two_points_are_enough(self) -> None:
        lo, hi = log_partition_bounds(lambda x: x[:, 0].abs(), -1.0, 1.0, 2)
        assert lo == pytest.approx(math.log(2 / math.e))
        assert hi == pytest.approx(math.log(2), abs=1e-12)

    def test_networks(self) -> None:
        for activation in ("softplus", "relu"):
            draw = torch.Generator().manual_seed(4)
            energy = Energy.dense(1, (12, 12), activation=activation, generator=draw, dtype=torch.float64)
            lo, hi = log_partition_bounds(energy, -40.0, 40.0, 20_001)
            rule = quadrature([-40.0], [40.0], [400], dtype=torch.float64)
            with torch.no_grad():
                found = float(rule.log_partition(energy(rule.nodes)))
            assert lo <= found + 1e-6
            assert found <= hi + 1e-6
            assert hi - lo < 1e-3

    def test_what_is_not_convex_is_refused(self) -> None:
        with pytest.raises(ModelError, match="not convex"):
            log_partition_bounds(lambda x: -x[:, 0].square(), -1.0, 1.0)
        with pytest.raises(ModelError, match="lower < upper"):
            log_partition_bounds(lambda x: x[:, 0].square(), 1.0, -1.0)
        with pytest.raises(ModelError, match="points >= 2"):
            log_partition_bounds(lambda x: x[:, 0].square(), -1.0, 1.0, 1)
        for ends in (("-1", "1"), ([-1.0], [1.0]), (None, 1.0)):
            with pytest.raises(ModelError, match="a bracket needs lower < upper"):
                log_partition_bounds(lambda x: x[:, 0].square(), *ends)


def test_numpy_agrees_on_the_gauss_rule() -> None:
    nodes, weights = np.polynomial.legendre.leggauss(7)
    np.testing.assert_allclose(NODES[1::2], nodes, atol=1e-15)
    np.testing.assert_allclose(COARSE[1::2], weights, atol=1e-15)
