"""Each recipe under the contract, and what is its own."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from socicnn.errors import ModelError
from socicnn.positivity import ADMM, Exp, Lift, Projected, ReLUReadout, Softplus, Square, recipe
from socicnn.positivity._admm import Balancing, Doubling, Fixed
from socicnn.positivity._controls import Biased, Noisy
from tests.contracts.recipes import RecipeContract, normal


class TestProjected(RecipeContract):
    def make(self) -> Projected:
        return Projected()

    def test_steps_end_at_the_floor(self) -> None:
        weight = Projected(floor=0.25).weight(torch.tensor([0.1, 0.5]))
        with torch.no_grad():
            weight.theta.copy_(torch.tensor([-3.0, 0.3]))
        weight.after_step()
        assert weight().tolist() == [0.25, torch.tensor(0.3).item()]


class TestProjectedWithFloor(RecipeContract):
    least = 1e-2

    def make(self) -> Projected:
        return Projected(floor=1e-2)


class TestSoftplus(RecipeContract):
    least = 1e-6

    def make(self) -> Softplus:
        return Softplus()


class TestReLUReadout(RecipeContract):
    def make(self) -> ReLUReadout:
        return ReLUReadout()

    def test_gated_entries_get_no_gradient(self) -> None:
        weight = ReLUReadout(floor=0.1).weight(torch.tensor([0.0, 0.5, 2.0]))
        with torch.no_grad():
            weight.raw[1] = -1.0
        weight().sum().backward()
        assert weight.raw.grad.tolist() == [1.0, 0.0, 1.0]  # an entry at the floor itself can still leave it

    @pytest.mark.parametrize("floor", [-1e-9, float("inf"), float("nan")])
    def test_floor_is_checked(self, floor: float) -> None:
        with pytest.raises(ModelError, match="floor must be a number >= 0"):
            ReLUReadout(floor)


class TestReLUReadoutWithFloor(RecipeContract):
    least = 1e-3

    def make(self) -> ReLUReadout:
        return ReLUReadout(1e-3)


class TestExp(RecipeContract):
    least = 1e-6

    def make(self) -> Exp:
        return Exp()

    def test_emits_non_negative_values_of_any_number(self) -> None:
        assert (Exp().emit(torch.tensor([-1e6, -1.0, 80.0])) >= 0).all()

    def test_steps_are_relative(self) -> None:
        weight = Exp().weight(torch.tensor([1e-3, 10.0]))
        with torch.no_grad():
            weight.raw.add_(0.1)
        torch.testing.assert_close(weight(), torch.tensor([1e-3, 10.0]) * torch.exp(torch.tensor(0.1)))


class TestSquare(RecipeContract):
    least = 1e-6

    def make(self) -> Square:
        return Square()


class TestBiased(RecipeContract):
    least = 1e-6

    def make(self) -> Biased:
        return Biased()


class TestNoisy(RecipeContract):
    least = 1e-6

    def make(self) -> Noisy:
        return Noisy(0.05)

    def test_noise_is_there_while_it_trains_alone(self) -> None:
        weight = Noisy(0.5).weight(torch.full((20000,), 2.0, dtype=torch.float64))
        torch.manual_seed(0)
        raw = Softplus().inverse(weight())
        assert abs(raw.std().item() - 0.5) < 0.02
        torch.testing.assert_close(weight.eval()(), weight.final(), rtol=0, atol=0)

    @pytest.mark.parametrize("deviation", [0.0, -1.0, float("nan"), float("inf")])
    def test_deviation_is_checked(self, deviation: float) -> None:
        with pytest.raises(ModelError, match="deviation must be a number > 0"):
            Noisy(deviation)


class ADMMContract(RecipeContract):
    def test_is_convex_while_it_trains(self) -> None:
        """It need not be: the weight is free, and refused until it is finalised."""
        model = self.network("icnn")
        name, weight = next(model.constrained())
        with torch.no_grad():
            weight.theta.view(-1)[0] = -0.25
        with pytest.raises(ModelError, match=r"negative entries .*finalise"):
            model.freeze()
        final = dict(model.finalise().constrained())[name]().view(-1)
        assert final[0] == 0
        assert torch.equal(final[1:], weight().view(-1)[1:])


class TestADMMFixed(ADMMContract):
    def make(self) -> ADMM:
        return ADMM()


class TestADMMBalancing(ADMMContract):
    def make(self) -> ADMM:
        return ADMM(Balancing(factor=1.5, ratio=5.0), rho=3.0)


class TestADMMDoubling(ADMMContract):
    def make(self) -> ADMM:
        return ADMM("doubling", rho=1.0)


class TestADMMByHand:
    def test_penalty_and_multiplier_follow_the_formulas(self) -> None:
        weight = ADMM(rho=4.0).weight(torch.tensor([1.0, 2.0], dtype=torch.float64))
        assert weight.penalty().item() == 0.0
        with torch.no_grad():
            weight.theta.copy_(torch.tensor([-0.5, 3.0]))
        assert weight.penalty().item() == 0.5 * 4 * (1.5**2 + 1)
        weight.after_step()  # z = max(theta + 0, 0) = (0, 3); y = 4 (theta - z) = (-2, 0)
        assert (weight.z.tolist(), weight.y.tolist()) == ([0.0, 3.0], [-2.0, 0.0])
        assert weight.penalty().item() == 0.5 * 4 * (-0.5 - 0 - 0.5) ** 2
        weight.after_step()  # z = max(-0.5 - 0.5, 0) = 0; y = -2 + 4 (-0.5) = -4
        assert weight.y.tolist() == [-4.0, 0.0]
        assert weight.final().tolist() == [0.0, 3.0]
        assert weight().tolist() == [-0.5, 3.0]

    def test_solves_a_quadratic_over_the_cone(self) -> None:
        target = normal(30)
        weight = ADMM(rho=1.0).weight(normal(30, seed=2).abs())
        optimiser = torch.optim.LBFGS(weight.parameters(), line_search_fn="strong_wolfe", tolerance_grad=1e-12)

        def closure() -> torch.Tensor:
            optimiser.zero_grad()
            loss = 0.5 * (weight() - target).square().sum() + weight.penalty()
            loss.backward()
            return loss

        for _ in range(120):
            optimiser.step(closure)
            weight.after_step()
        torch.testing.assert_close(weight.final(), target.clamp(min=0), rtol=0, atol=1e-5)
        torch.testing.assert_close(weight.y, target.clamp(max=0), rtol=0, atol=1e-5)  # the multiplier of theta >= 0

    @pytest.mark.parametrize(
        ("primal", "dual", "expected"), [(1.0, 0.05, 2.0), (0.05, 1.0, 0.5), (1.0, 1.0, 1.0), (0.0, 0.0, 1.0)]
    )
    def test_balancing(self, primal: float, dual: float, expected: float) -> None:
        one = torch.ones(())
        assert Balancing().update(one, one * primal, one * dual, one).item() == expected

    def test_doubling_and_fixed(self) -> None:
        one, zero = torch.ones(()), torch.zeros(())
        rates = [Doubling(3, 3.0).update(one * 2, zero, zero, torch.tensor(step)).item() for step in range(1, 7)]
        assert rates == [2.0, 2.0, 3.0, 2.0, 2.0, 3.0]
        assert Fixed().update(one, one, zero, one) is one

    def test_rho_follows_its_schedule_while_training(self) -> None:
        weight = ADMM(Doubling(2, 100.0), rho=10.0).weight(torch.ones(2))
        found = []
        for _ in range(8):
            weight.after_step()
            found.append(weight.rho.item())
        assert found == [10, 20, 20, 40, 40, 80, 80, 100]

    @pytest.mark.parametrize(
        ("call", "message"),
        [
            (lambda: ADMM(rho=0.0), "rho must be a number > 0; received 0.0"),
            (lambda: ADMM("hope"), "unknown schedule 'hope'; there are: balancing, doubling, fixed"),
            (lambda: ADMM({"name": "fixed", "rate": 1}), "schedule 'fixed' does not take these settings"),
            (lambda: Balancing(factor=1.0), "factor > 1"),
            (lambda: Doubling(every=0), "every >= 1"),
            (lambda: recipe("admm", schedule={"factor": 2}), "unknown schedule None"),
        ],
    )
    def test_refusals(self, call, message: str) -> None:
        with pytest.raises(ModelError, match=message):
            call()


class LiftContract(RecipeContract):
    least = 1e-6


class TestLift(LiftContract):
    def make(self) -> Lift:
        return Lift(hidden=(8, 8, 12), rank=4)


class TestLiftFull(LiftContract):
    """Without the projection and the normalisation, on one point, read out with exp."""

    def make(self) -> Lift:
        return Lift(hidden=(8,), rank=None, normalise=False, conditioning="single", readout="exp")


class TestLiftIndependent(LiftContract):
    def make(self) -> Lift:
        return Lift(hidden=(8, 8), conditioning="independent", points=10)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_saves_and_loads_in_the_middle_of_training(self, tmp_path: Path, dtype: torch.dtype) -> None:
        """Earlier batches are not saved, so that the first step after loading is another one."""
        with pytest.raises(AssertionError, match="Tensor-likes are not close"):
            super().test_saves_and_loads_in_the_middle_of_training(tmp_path, dtype)

    def test_many_seeds_train_stacked(self) -> None:
        """Refused: what it keeps of earlier batches cannot live in a stack."""
        with pytest.raises(ModelError, match="cannot be stacked"):
            super().test_many_seeds_train_stacked()


class TestLiftConstant(LiftContract):
    def make(self) -> Lift:
        return Lift(hidden=(8, 8), conditioning="constant")


class TestLiftMoments(LiftContract):
    def make(self) -> Lift:
        return Lift(summary="moments")


class TestLiftWithoutSlack(LiftContract):
    def make(self) -> Lift:
        return Lift(hidden=(8, 8), rank=3, slack=False, readout={"name": "relu", "floor": 1e-6})


def test_a_lift_of_version_0_1_names_its_readout_otherwise() -> None:
    assert Lift(readout={"given": "relu", "floor": 1e-6}) == Lift(readout={"name": "relu", "floor": 1e-6})
