"""Energies and other log-concave laws fitted to the latents of one digit: held-out nats, and draws."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from experiments.densities.components import Components, components_start, fit_components
from experiments.densities.proposal import component_proposal
from experiments.engine.tables import Row
from experiments.positivity.jobs import BATCHES, HELD_OUT, WEIGHTS, generator
from socicnn._arrays import Array
from socicnn.density import UnreliableEstimate, annealed, fit, negative_log_likelihood
from socicnn.positivity import recipe as make_recipe

PROPOSAL, DRAWS = 5, 6  # uses of a seed beside those of `experiments.positivity.jobs`
COMPONENTS, GAUSSIAN = "log-concave components", "Gaussian"
MODELS = ("lift", "softplus", "projected", COMPONENTS, GAUSSIAN)


@dataclass(frozen=True)
class Settings:
    """How an energy is fitted, judged and sampled.

    Args:
        hidden: widths.
        learning_rate: step size of Adam.
        steps: steps of the energy.
        batch: points per step.
        nodes: draws of the proposal per step.
        judged: draws that log Z is judged by.
        temperatures: of the annealing.
        shown: draws per digit.
    """

    hidden: tuple[int, ...]
    learning_rate: float
    steps: int
    batch: int
    nodes: int
    judged: int
    temperatures: int
    shown: int


def fit_digit(train: Array, test: Array, models: Sequence[str], seed: int, given: Settings) -> list[tuple[Row, Array]]:
    """Fit models to the latents of one digit; return the row of each, and draws of shape `(shown, n)`.

    Models see whitened latents, L^-1 (z - m), m and L the mean and the Cholesky factor of the covariance of the
    training latents; log det L is added to their nats. In whitened latents the Gaussian is the standard normal law.
    Energies start from the independent components, from whose law the draws for log Z are taken.
    """
    mean, factor = train.mean(axis=0), np.linalg.cholesky(np.cov(train.T))
    level = float(np.log(np.diag(factor)).sum())
    white, held_out = (torch.tensor(np.linalg.solve(factor, (z - mean).T).T.copy()) for z in (train, test))
    begun = time.process_time()
    fitted = fit_components(white.numpy(), seed)
    spent = time.process_time() - begun
    results = []
    for model in models:
        draws = generator(seed, DRAWS)
        if model == GAUSSIAN:
            shown = torch.randn((given.shown, white.shape[1]), generator=draws, dtype=torch.float64)
            row = _row(0.5 * (held_out.square() + np.log(2 * np.pi)).sum(dim=1), 0.0)
        elif model == COMPONENTS:
            shown = component_proposal(fitted, given.shown, torch.float64, draws).nodes
            row = _row(-torch.from_numpy(fitted.log_density(held_out.numpy())), spent)
        else:
            row, shown = _energy(white, held_out, fitted, model, seed, given)
        results.append(({**row, "nll": float(str(row["nll"])) + level}, mean + shown.numpy() @ factor.T))
    return results


def _row(nats: Tensor, seconds: float) -> Row:
    """Return the row of a law whose densities are known."""
    return {"nll": float(nats.mean()), "sampling_error": float(nats.std()) / len(nats) ** 0.5, "seconds": seconds}


def _energy(
    white: Tensor, held_out: Tensor, fitted: Components, model: str, seed: int, given: Settings
) -> tuple[Row, Tensor]:
    """Return the row of an energy, nats in whitened latents, and draws."""
    train = white.float()
    energy = components_start(fitted, given.hidden, make_recipe(model), generator(seed, WEIGHTS))
    rule = component_proposal(fitted, given.nodes, torch.float32, generator(seed, PROPOSAL))
    begun = time.process_time()
    fit(
        energy,
        train,
        rule=rule,
        seed=generator(seed, BATCHES),
        steps=given.steps,
        batch_size=given.batch,
        learning_rate=given.learning_rate,
        note_every=given.steps,
    )
    spent = time.process_time() - begun
    plain, judge = energy.finalise(train).double(), generator(seed, HELD_OUT)
    still = component_proposal(fitted, given.judged, torch.float64, judge)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnreliableEstimate)  # the rows say it
        with torch.no_grad():
            direct = still.estimate(plain(still.nodes))
        led = annealed(plain, still, temperatures=given.temperatures, generator=judge)
        found = negative_log_likelihood(plain, led, held_out)
        with torch.no_grad():
            second = led.estimate(plain(led.nodes))
    # the ends of the annealed chains by their weights: draws from the energy's law
    weights = torch.softmax(led.log_weights - plain(led.nodes).detach(), dim=0)
    chosen = torch.multinomial(weights, given.shown, generator=generator(seed, DRAWS))
    row: Row = {
        "nll": found.value,
        "sampling_error": found.sampling_error,
        "log_z": second.value,
        "log_z_error": second.error,
        "effective_sample_size": second.effective_sample_size,
        "log_z_direct": direct.value,
        "log_z_direct_error": direct.error,
        "effective_sample_size_direct": direct.effective_sample_size,
        "seconds": spent,
    }
    return row, led.nodes[chosen]
