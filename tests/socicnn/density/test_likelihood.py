"""Likelihoods carry their error, and say when it cannot be believed."""

import copy
import math
import pickle
import warnings

import numpy as np
import pytest
import torch
from torch import Tensor

from socicnn import ICNN
from socicnn.density import (
    Energy,
    Estimate,
    PotentialFlow,
    UnreliableEstimate,
    fit,
    importance,
    negative_log_likelihood,
    quadrature,
    target,
)
from socicnn.errors import ModelError

LOG_2PI = math.log(2 * math.pi)


def normal(n: int, curvature: float = 1.0) -> Energy:
    """E = curvature/2 ||x||^2."""
    network = ICNN(n, (), dtype=torch.float64)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    return Energy(network, curvature)


def randn(count: int, n: int, seed: int = 0) -> Tensor:
    return torch.randn(count, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class TestEstimate:
    def test_is_a_number_with_its_errors(self) -> None:
        made = Estimate(1.5, error=0.25, sampling_error=0.1, effective_sample_size=200.0)
        assert made == made.value == 1.5
        assert type(made.value) is float
        assert made.ok
        assert made.summary() == "1.5, error 0.25, sampling error 0.1, effective sample size 200"
        for same in (copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
            assert repr(same) == repr(made)
        assert repr(made) == "Estimate(1.5, error=0.25, sampling_error=0.1, effective_sample_size=200)"

    @pytest.mark.parametrize(
        ("made", "message"),
        [
            (Estimate(1.0, effective_sample_size=99.0), "effective sample size is 99, below 100"),
            (Estimate(1.0, outside=0.02), "about 2 % of the mass"),
            (Estimate(1.0, error=0.2, outside=0.0), "0.2 apart in log Z, so that it does not resolve"),
            (Estimate(math.nan), "not finite"),
            (Estimate(1.0, error=math.inf), "not finite"),
        ],
    )
    def test_doubt(self, made: Estimate, message: str) -> None:
        assert not made.ok
        assert made.summary().startswith("unreliable: ")
        with pytest.warns(UnreliableEstimate, match=message):
            made.warn()


class TestImportance:
    def test_the_error_covers_the_error(self) -> None:
        x = randn(400, 4)
        exact = float(0.5 * x.square().sum(dim=1).mean()) + 2 * LOG_2PI
        found = negative_log_likelihood(normal(4), importance(x, 5000, generator=torch.Generator().manual_seed(1)), x)
        assert abs(found - exact) < 4 * found.error
        assert 0 < found.error < 0.03
        deviation = float((0.5 * x.square().sum(dim=1)).std())
        assert found.sampling_error == pytest.approx(deviation / 20)
        assert found.effective_sample_size is not None
        assert 1000 < found.effective_sample_size < 5000
        assert found.ok

    def test_few_effective_draws_warn(self) -> None:
        x = randn(400, 10)  # the law is ten times as narrow as the points that the proposal was fitted to
        rule = importance(x, 2000, generator=torch.Generator().manual_seed(1))
        with pytest.warns(UnreliableEstimate, match="effective sample size"):
            found = negative_log_likelihood(normal(10, 100.0), rule, x / 10)
        assert found.effective_sample_size is not None
        assert found.effective_sample_size < 100


class TestQuadrature:
    @pytest.mark.parametrize("centre", [0.0, 0.03, 0.1, 0.5, 0.7])
    @pytest.mark.parametrize("deviation", [0.003, 0.01, 0.05, 0.1, 0.2])
    def test_a_law_between_the_nodes_warns(self, centre: float, deviation: float) -> None:
        """Where one node takes all, the two rules differ by the factor 2 of its weights, however far off both are."""
        rule = quadrature(-10.0, 10.0, dtype=torch.float64)
        made = rule.estimate(0.5 * ((rule.nodes[:, 0] - centre) / deviation).square())
        assert not made.ok or abs(made - math.log(deviation) - 0.5 * LOG_2PI) < 0.1

    def test_mass_outside_the_box(self) -> None:
        energy = normal(1)
        for half in (1.0, 2.0, 3.0):
            rule = quadrature([-half], [half], dtype=torch.float64)
            exact = math.erfc(half / math.sqrt(2))
            outside = float(rule.outside(energy(rule.nodes)))
            assert exact <= outside <= 3 * exact  # a bound: the law is log-concave

    def test_mass_outside_the_box_in_two_dimensions(self) -> None:
        energy = normal(2)
        rule = quadrature([-2.0, -6.0], [6.0, 2.5], [8, 8], dtype=torch.float64)
        inside = 1 - 0.5 * math.erfc(2 / math.sqrt(2)) - 0.5 * math.erfc(2.5 / math.sqrt(2))
        assert 1 - inside <= float(rule.outside(energy(rule.nodes))) <= 2 * (1 - inside)

    @pytest.mark.parametrize("name", ["gumbel", "laplace", "half_normal", "beta", "gamma_mode"])
    def test_windows_hold_their_laws(self, name: str) -> None:
        law = target(name)
        rule = quadrature(law.lower, law.upper, (60,) if law.features == 1 else (12, 8), dtype=torch.float64)
        found = rule.estimate(-law.log_density(rule.nodes))
        assert found.outside is not None
        assert found.outside < 2e-6
        assert abs(found) < found.error + 2e-6

    def test_a_box_that_is_too_small_warns(self) -> None:
        rule = quadrature([-1.0], [1.0], dtype=torch.float64)
        with pytest.warns(UnreliableEstimate, match="of the mass lies outside"):
            negative_log_likelihood(normal(1), rule, [[0.5]])
        flat = quadrature([-1.0], [1.0], dtype=torch.float64)
        assert float(flat.outside(torch.zeros(180, dtype=torch.float64))) == 1.0
        assert float(flat.outside(torch.full((180,), torch.inf, dtype=torch.float64))) == 1.0

    def test_points_outside_the_box_are_refused(self) -> None:
        rule = quadrature([-6.0, -6.0], [6.0, 6.0], dtype=torch.float64)
        x = randn(10, 2)
        x[3, 1] = 6.5
        with pytest.raises(ModelError, match=r"1 of 10 points lie outside.*first in row 3"):
            negative_log_likelihood(normal(2), rule, x)
        with pytest.raises(ModelError, match="1 of 10 points lie outside"):
            fit(normal(2), x, rule=rule, steps=1)


class TestPoints:
    @pytest.mark.parametrize("given", ["array", "list", "float32", "integers", "big", "view"])
    def test_tables_of_every_kind(self, given: str) -> None:
        x = np.round(randn(6, 2).numpy() * 4)
        tables = {
            "array": x,
            "list": x.tolist(),
            "float32": x.astype(np.float32),
            "integers": x.astype(np.int16),
            "big": x.astype(">f8"),
            "view": np.repeat(x, 2, axis=0)[::2],
        }
        flow = PotentialFlow(normal(2).network)
        expected = negative_log_likelihood(flow, None, torch.tensor(x))
        assert negative_log_likelihood(flow, None, tables[given]) == expected

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ([["1", "2"]], "real numbers"),
            ([[1 + 2j, 0]], "real numbers"),
            (torch.zeros(1, 2, dtype=torch.complex64), "real numbers"),
            (np.ma.masked_greater([[0.0, 5.0]], 3.0), "masked"),
            ([[0.0, 1.0], [None, 1.0]], "missing values"),
            ([[0.0, math.nan], [0.0, 1.0], [math.inf, 1.0]], r"non-finite entries .* 2 of 3 rows \(rows 0, 2\)"),
            ([[0.0, 1.0], [0.0]], "different lengths"),
            ([0.0, 1.0], "shape"),
            ([[0.0, 1.0, 2.0]], "shape"),
            (np.zeros((0, 2)), "shape"),
        ],
    )
    def test_what_is_no_table_of_numbers_is_refused(self, given: object, message: str) -> None:
        flow = PotentialFlow(normal(2).network)
        for use in (lambda: negative_log_likelihood(flow, None, given), lambda: fit(flow, given, steps=1)):
            with pytest.raises(ModelError, match=message):
                use()

    def test_a_flow_warns_of_nothing(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = negative_log_likelihood(PotentialFlow(normal(2).network), None, randn(50, 2))
        assert found.error == 0.0
        assert found.sampling_error > 0
