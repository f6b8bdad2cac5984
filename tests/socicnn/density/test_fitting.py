"""Fits: one by one and stacked alike, for every recipe; reproducible; a run that goes astray stays alone."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

import socicnn.density
from socicnn.density import DensityOptions, Energy, fit, fit_stacked, quadrature, target, total_variation
from socicnn.errors import ModelError
from socicnn.positivity import ADMM, Lift, Recipe, Square
from socicnn.training import History

RECIPES: dict[str, Recipe | str] = {
    **{name: name for name in ("projected", "softplus", "relu", "exp", "square", "admm", "biased", "lift")},
    "balanced": ADMM("balancing", rho=0.3),
    "doubled": ADMM({"name": "doubling", "every": 5}),
    "single": Lift(conditioning="single", hidden=(5, 6)),
    "some": Lift(points=7, rank=None, hidden=(5, 6)),
    "constant": Lift(conditioning="constant", hidden=(5, 6)),
    "moments": Lift(summary="moments"),
    "slackless": Lift(slack=False, readout=Square()),
}


def energies(
    count: int, positivity: Recipe | str = "projected", hidden: Sequence[int] = (7, 5), n: int = 1
) -> list[Energy]:
    draws = [torch.Generator().manual_seed(10 + seed) for seed in range(count)]
    return [Energy.dense(n, hidden, positivity=positivity, generator=draw, dtype=torch.float64) for draw in draws]


def tensors(energy: Energy) -> Tensor:
    return torch.cat([tensor.detach().double().reshape(-1) for tensor in energy.state_dict().values()])


def both(
    one: Sequence[Energy], many: Sequence[Energy], law: str, seeds: Sequence[int], **settings: object
) -> tuple[list[History], list[History]]:
    apart = [fit(energy, target(law), seed=seed, **settings) for energy, seed in zip(one, seeds, strict=True)]  # type: ignore[arg-type]  # passed on
    return apart, fit_stacked(many, target(law), seeds=seeds, **settings)  # type: ignore[arg-type]  # passed on


class TestStacked:
    @pytest.mark.parametrize("name", RECIPES)
    def test_is_one_by_one(self, name: str) -> None:
        one, many = energies(3, RECIPES[name]), energies(3, RECIPES[name])
        start = [tensors(energy) for energy in one]
        options = DensityOptions(clip=0.5)
        settings = {"steps": 12, "batch_size": 16, "learning_rate": 0.02, "note_every": 5, "options": options}
        apart, together = both(one, many, "gumbel", [4, 2, 9], **settings)
        for a, b, s in zip(one, many, start, strict=True):
            assert torch.allclose(tensors(a), tensors(b), rtol=1e-6, atol=1e-8)
            assert float((tensors(a) - s).abs().max()) > 0.01
        for one_by_one, stacked in zip(apart, together, strict=True):
            assert one_by_one.epochs == stacked.epochs == stacked.best_epoch == 3  # after steps 5, 10 and 12
            assert stacked.train == pytest.approx(one_by_one.train, rel=1e-9)
            assert stacked.ok
        data = target("gumbel").sample(50, torch.Generator().manual_seed(0), torch.float64)
        for a, b in zip(one, many, strict=True):
            assert torch.allclose(a.finalise(data)(data), b.finalise(data)(data), rtol=1e-6)

    def test_without_a_limit_on_the_gradient_and_in_two_dimensions(self) -> None:
        one, many = energies(2, n=2), energies(2, n=2)
        both(one, many, "gamma_mode", [0, 1], steps=6, batch_size=8, options=DensityOptions(clip=None))
        assert all(torch.allclose(tensors(a), tensors(b), rtol=1e-6, atol=1e-8) for a, b in zip(one, many, strict=True))

    def test_batches_of_each_models_own_points(self) -> None:
        one, many = energies(2, "lift"), energies(2, "lift")
        sets = [target("beta").sample(40, torch.Generator().manual_seed(s), torch.float64) for s in range(2)]
        rule = quadrature([-0.5], [1.5], [3], dtype=torch.float64)
        settings = {"steps": 70, "batch_size": 8, "rule": rule}  # past the batches that are drawn ahead
        for seed, (energy, points) in enumerate(zip(one, sets, strict=True)):
            fit(energy, points, seed=seed, **settings)  # type: ignore[arg-type]  # passed on
        fit_stacked(many, sets, **settings)  # type: ignore[arg-type]  # passed on
        assert all(torch.allclose(tensors(a), tensors(b), rtol=1e-5, atol=1e-7) for a, b in zip(one, many, strict=True))

    def test_a_run_that_goes_astray_stays_alone(self) -> None:
        many, alone = energies(3), energies(3)
        with torch.no_grad():
            next(many[1].network.parameters()).fill_(torch.nan)
        histories = fit_stacked(many, target("gumbel"), steps=5, batch_size=8, note_every=5)
        assert [history.ok for history in histories] == [True, False, True]
        fit(alone[2], target("gumbel"), seed=2, steps=5, batch_size=8)
        assert torch.allclose(tensors(many[2]), tensors(alone[2]), rtol=1e-6, atol=1e-8)

    def test_models_that_differ_are_refused(self) -> None:
        law = target("gumbel")
        with pytest.raises(ModelError, match="no models"):
            fit_stacked([], law)
        with pytest.raises(ModelError, match="share architecture"):
            fit_stacked([*energies(1), *energies(1, hidden=(7, 6))], law)
        with pytest.raises(ModelError, match="share architecture"):
            fit_stacked([*energies(1), *energies(1, "softplus")], law)
        with pytest.raises(ModelError, match="share architecture"):
            fit_stacked([*energies(1), Energy(energies(1)[0].network, 0.5)], law)
        with pytest.raises(ModelError, match="2 models need one seed"):
            fit_stacked(energies(2), law, seeds=[1])
        with pytest.raises(ModelError, match="cannot be stacked"):
            fit_stacked(energies(2, Lift(conditioning="independent")), law, steps=1)
        with pytest.raises(ModelError, match="on_step is not for stacked models"):
            fit_stacked(energies(2), law, options=DensityOptions(on_step=lambda step, model: None))


class TestFit:
    def test_learns(self) -> None:
        (energy,) = energies(1, "softplus", hidden=(16, 16))
        before = total_variation(energy, target("gumbel"))
        history = fit(energy, target("gumbel"), steps=250, learning_rate=0.02, note_every=25)
        assert history.train[-1] < history.train[0]
        assert history.value == history.train[-1]
        assert history.seconds > 0
        after = total_variation(energy.finalise(), target("gumbel"))
        assert after < 0.05 < before

    def test_is_the_same_again_and_draws_from_its_seed_alone(self) -> None:
        state = torch.get_rng_state()
        runs = [energies(1)[0] for _ in range(3)]
        for energy, seed in zip(runs, (1, torch.Generator().manual_seed(1), 2), strict=True):
            fit(energy, target("gumbel"), seed=seed, steps=3, batch_size=8)
        assert torch.equal(tensors(runs[0]), tensors(runs[1]))
        assert not torch.equal(tensors(runs[0]), tensors(runs[2]))
        assert torch.equal(torch.get_rng_state(), state)

    def test_every_step_is_seen(self) -> None:
        seen: list[int] = []
        options = DensityOptions(on_step=lambda step, energy: seen.append(step))
        fit(energies(1)[0], target("gumbel"), steps=3, batch_size=8, note_every=2, options=options)
        assert seen == [1, 2, 3]

    def test_gradient_is_limited(self) -> None:
        # a limit far below the epsilon in the denominator of Adam stops it
        free, held = energies(2)[0], energies(2)[0]
        fit(free, target("gumbel"), steps=2, batch_size=8, options=DensityOptions(clip=None))
        fit(held, target("gumbel"), steps=2, batch_size=8, options=DensityOptions(clip=1e-9))
        assert not torch.allclose(tensors(free), tensors(held), atol=1e-6)

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"steps": 0}, "steps"),
            ({"batch_size": 1.5}, "batch_size"),
            ({"note_every": True}, "note_every"),
            ({"learning_rate": 0.0}, "learning_rate"),
            ({"rule": quadrature([0.0, 0.0], [1.0, 1.0], dtype=torch.float64)}, "dimension 2"),
            ({"rule": quadrature([0.0], [1.0], dtype=torch.float32)}, "float32"),
        ],
    )
    def test_bad_settings_are_named(self, settings: dict[str, object], message: str) -> None:
        with pytest.raises(ModelError, match=message):
            fit(energies(1)[0], target("gumbel"), **settings)  # type: ignore[arg-type]  # what is refused

    def test_options_are_checked_and_were_keywords_before(self) -> None:
        with pytest.raises(ModelError, match=r"clip must be a finite number > 0; received -1\.0"):
            DensityOptions(clip=-1.0)
        old, new = energies(1)[0], energies(1)[0]
        with pytest.warns(DeprecationWarning, match=r"clip moved into `options`; .*DensityOptions\(clip=...\)"):
            fit(old, target("gumbel"), steps=3, batch_size=8, clip=0.1)
        fit(new, target("gumbel"), steps=3, batch_size=8, options=DensityOptions(clip=0.1))
        assert torch.equal(tensors(old), tensors(new))
        with pytest.raises(TypeError, match=r"fit\(\) got an unexpected keyword argument 'clips'"):
            fit(old, target("gumbel"), clips=0.1)
        with pytest.warns(DeprecationWarning, match=r"fit\(batch=...\) is now fit\(batch_size=...\)"):
            assert fit(old, target("gumbel"), steps=1, batch=8).epochs == 1
        with pytest.warns(DeprecationWarning, match="Trace is now"):
            assert isinstance(socicnn.density.Trace(), History)

    def test_data_that_do_not_fit_are_refused(self) -> None:
        (energy,) = energies(1)
        with pytest.raises(ModelError, match="a model stands in two places"):
            fit_stacked([energy] * 2, target("gumbel"), steps=1)
        rule = quadrature([0.0], [1.0], dtype=torch.float64)
        with pytest.raises(ModelError, match="2 dimensions"):
            fit(energy, target("gamma_mode"), rule=rule)
        with pytest.raises(ModelError, match="give `rule="):
            fit(energy, torch.zeros(4, 1))
        for points in (torch.zeros(0, 1), torch.zeros(4), torch.zeros(4, 2)):
            with pytest.raises(ModelError, match="points must have shape"):
                fit(energy, points, rule=rule)
