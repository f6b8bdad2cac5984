"""An energy fitted to a table, and its held-out likelihood by two estimates of log Z."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from experiments.densities.components import START, components_start, fit_components
from experiments.densities.data import Split
from experiments.engine.tables import Row
from experiments.positivity.arms import WIDE, widened
from experiments.positivity.jobs import BATCHES, HELD_OUT, WEIGHTS, generator, start
from socicnn.density import (
    FlowProposal,
    Importance,
    UnreliableEstimate,
    annealed,
    fit,
    flow_proposal,
    importance,
    negative_log_likelihood,
)
from socicnn.positivity import recipe as make_recipe

PROPOSAL = 5  # use of a seed beside those of `experiments.positivity.jobs`


@dataclass(frozen=True)
class Variant:
    """A recipe with settings of its own, or in a network of other widths than the others have.

    Args:
        recipe: short name of the recipe.
        settings: of the recipe.
        widened: whether the widths are the least at which it trains as many parameters as the lift.
        hidden: widths in the place of the preset's.
    """

    recipe: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    widened: bool = False
    hidden: tuple[int, ...] = ()

    def widths(self, hidden: tuple[int, ...], features: int) -> tuple[int, ...]:
        """Return the widths of this variant where the recipes have `hidden`."""
        return widened(hidden, features) if self.widened else self.hidden or hidden


VARIANTS = {
    "admm-fixed": Variant("admm", {"schedule": "fixed"}),
    "admm-balancing": Variant("admm", {"schedule": "balancing"}),
    "admm-doubling": Variant("admm", {"schedule": {"name": "doubling", "every": 100}}),  # trainings are short
    "softplus-widened": Variant("softplus", widened=True),
    "softplus-wide": Variant("softplus", hidden=WIDE),
}


@dataclass(frozen=True)
class Settings:
    """How an energy is fitted and judged.

    Args:
        hidden: widths.
        steps: steps of the energy, and of the flow beside it.
        batch: points per step.
        nodes: draws of the proposal per step.
        judged: draws that log Z is judged by.
        temperatures: of the annealing.
        proposal: `flow` or `importance`.
    """

    hidden: tuple[int, ...]
    steps: int
    batch: int
    nodes: int
    judged: int
    temperatures: int
    proposal: str


def fit_energy(data: Split, model: str, initialiser: str, learning_rate: float, seed: int, given: Settings) -> Row:
    """Fit an energy and return its row: held-out nats, and log Z by importance sampling and by annealing.

    `model` is the short name of a recipe, or that of a variant. The energy sees whitened data, L^-1 x with L the
    Cholesky factor of the covariance of the training rows; log det L is added to its nats.
    """
    factor = np.linalg.cholesky(np.cov(data.train.T))
    train, test = (torch.tensor(np.linalg.solve(factor, X.T).T.copy()) for X in (data.train, data.test))
    exact, train = train, train.float()
    variant = VARIANTS.get(model, Variant(model))
    recipe, hidden = make_recipe(variant.recipe, **variant.settings), variant.widths(given.hidden, train.shape[1])
    begun = time.process_time()
    if initialiser == START:
        fitted = fit_components(exact.numpy(), seed)
        energy = components_start(fitted, hidden, recipe, generator(seed, WEIGHTS))
    else:
        energy = start(train.shape[1], hidden, {"given": variant.recipe, **recipe.config()}, initialiser, seed)
    draws = generator(seed, PROPOSAL)
    rule = _proposal(train, given, draws)
    fit(
        energy,
        train,
        rule=rule,
        seed=generator(seed, BATCHES),
        steps=given.steps,
        batch_size=given.batch,
        learning_rate=learning_rate,
        note_every=given.steps,
    )
    spent = time.process_time() - begun
    plain = energy.finalise(train).double()
    judge = generator(seed, HELD_OUT)
    still = (
        rule.frozen(given.judged, judge)
        if isinstance(rule, FlowProposal)
        else importance(exact, given.judged, generator=judge)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnreliableEstimate)  # the rows say it
        with torch.no_grad():
            direct = still.estimate(plain(still.nodes.double()))
        led = annealed(plain, still, temperatures=given.temperatures, generator=judge)
        found = negative_log_likelihood(plain, led, test)
        with torch.no_grad():
            second = led.estimate(plain(led.nodes))
    return {
        "nll": found.value + float(np.log(np.diag(factor)).sum()),
        "sampling_error": found.sampling_error,
        "log_z": second.value,
        "log_z_error": second.error,
        "effective_sample_size": second.effective_sample_size,
        "log_z_direct": direct.value,
        "log_z_direct_error": direct.error,
        "effective_sample_size_direct": direct.effective_sample_size,
        "seconds": spent,
    }


def _proposal(train: torch.Tensor, given: Settings, draws: torch.Generator) -> FlowProposal | Importance:
    if given.proposal == "importance":
        return importance(train, given.nodes, generator=draws)
    return flow_proposal(
        train, given.nodes, hidden_features=(32, 32), learning_rate=3e-3, batch_size=given.batch, generator=draws
    )
