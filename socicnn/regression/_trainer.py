"""How the estimator trains: Adam, then L-BFGS, from several starts, the best on held-out rows kept."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import final

import torch
from torch import nn
from tqdm import tqdm

from socicnn._integers import as_integer
from socicnn.errors import ModelError
from socicnn.nn import SOCICNN
from socicnn.positivity import Recipe, RecipeName
from socicnn.positivity._projected import Projected
from socicnn.regression._stack import held_out, stacked, standard_rows
from socicnn.regression._start import start
from socicnn.training import Data, FitOptions, History, Loss, fit
from socicnn.training._data import joined
from socicnn.training._frame import Frame
from socicnn.training._options import penalties, positive, run_settings
from socicnn.training._run import Run

RIDGE = (0.3, 0.1, 0.03, 0.01, 3e-3, 1e-3, 1e-4, 1e-6)  # standardised units; the validation data choose
FAR = 10.0  # times the loss of the start, above which a penalty is not tried
LEAST = 50  # iterations of the last finish, on all rows
log = logging.getLogger("socicnn")


@final
@dataclass(frozen=True)
class Trainer:
    """Settings of the training of a `ConvexRegressor`.

    Each start is trained by Adam, then by L-BFGS in float64 on all rows at once, and keeps the weights of its least
    loss on the rows held out; the best start is kept, and polished again on all rows with the penalty, and for
    about the iterations, that served it best. The first start has its units along the kinks of a max-affine
    fit, the others at random; all have their read-out from least squares.

    Args:
        recipe: how weights are kept non-negative; see `socicnn.positivity`.
        epochs: passes of Adam.
        learning_rate: of Adam, at the start.
        batch_size: points per step; a 32nd of them, between 16 and 256, if omitted.
        polish: iterations of L-BFGS at most, for each penalty.
        ridge: penalties on the squares of the weights, from strong to weak, one stage of L-BFGS each; the held-out
            rows choose. Without held-out rows the strongest is used.
        restarts: number of starts.
        validation: share of the rows held out; of fewer than 20 rows none are.
        gradient_weight: weight of the errors of the gradients, where gradients are given.
        verbose: whether to say what happens: a progress bar in terminals and notebooks, and a printed line per start.

    Raises:
        ModelError: a setting is invalid.
    """

    recipe: Recipe | RecipeName = "projected"
    epochs: int = 4
    learning_rate: float = 1e-2
    batch_size: int | None = None
    polish: int = 300
    ridge: Sequence[float] = RIDGE
    restarts: int = 2
    validation: float = 0.15
    gradient_weight: float = 1.0
    verbose: bool = False

    def __post_init__(self) -> None:
        """Check the settings that training itself does not check."""
        as_integer("epochs", self.epochs)
        as_integer("polish", self.polish, 0)
        as_integer("restarts", self.restarts)
        positive("learning_rate", self.learning_rate)
        positive("gradient_weight", self.gradient_weight)
        if not 0 <= self.validation < 1:
            raise ModelError(f"validation must be a share in [0, 1); received {self.validation!r}")
        object.__setattr__(self, "ridge", penalties(self.ridge))

    def run(
        self, make: Callable[[int], SOCICNN], train: Data, held: Data | None, loss: Loss, seed: int
    ) -> tuple[SOCICNN, History]:
        """Return the best network over the starts, and its history.

        Args:
            make: makes a fresh network from a seed.
            train: training data.
            held: validation data; None to keep the last weights and the least training loss.
            loss: what is minimised.
            seed: of everything random.
        """
        best: tuple[SOCICNN, History] | None = None
        for index in range(self.restarts):
            model = make(seed + index)
            history = self._once(model, train, held, loss, seed + index, kinks=index == 0)
            self._say(f"start {index + 1} of {self.restarts}: {history.summary()}")
            if best is None or history.value < best[1].value or math.isnan(best[1].value):
                best = model, history
        assert best is not None
        model, history = best
        if held is not None and history.iterations:
            train = joined(train, held)
            self._refit(model, train, loss, history)
        if not isinstance(model.positivity, Projected):  # weights of other recipes may depend on data, or be negative
            x = train.x if train.context is None else (train.x, train.context)
            model = model.finalise(x)
        return model, history

    def _say(self, text: str) -> None:
        """Log a line, and print it where it was asked for."""
        log.info(text)
        if self.verbose:
            tqdm.write(text)  # beside a bar, not into it

    def run_stacked(
        self,
        make: Callable[[int], SOCICNN],
        splits: Sequence[tuple[Data, Data]],
        loss: Loss,
        seed: int,
    ) -> tuple[SOCICNN, History]:
        """Return a network together with a maximum of planes, and the history of the network.

        The first start is kept; what the others come to on rows of their own helps to weight network and planes.

        Args:
            make: makes a fresh network from a seed.
            splits: for each start the rows to train on, and those held out.
            loss: what is minimised.
            seed: of everything random.
        """
        fits, trials = [], []
        for index, (train, held) in enumerate(splits):
            model = make(seed + index)
            history = self._once(model, train, held, loss, seed + index, kinks=True)
            self._say(f"start {index + 1} of {len(splits)}: {history.summary()}")
            fits.append((model, history))
            trials.append(held_out(model, train, held))
        model, history = fits[0]
        whole = joined(*splits[0])
        if history.iterations:
            self._refit(model, whole, loss, history)
        return stacked(model, trials, standard_rows(model, whole), seed), history

    def _refit(self, model: SOCICNN, rows: Data, loss: Loss, history: History) -> None:
        """Polish on all rows from the weights in place, with the penalty and as long as the held-out rows chose."""
        options = FitOptions(
            polish=max(history.iterations, LEAST),
            ridge=(history.ridge,),
            gradient_weight=self.gradient_weight,
            standardise=False,
        )
        settings = run_settings(options, self.epochs, self.batch_size, self.learning_rate)
        with _branch_weights_held(model):
            Run(model, rows, loss, 0.0, 0, settings).polish(settings["polish"], lambda value: None)

    def _once(self, model: SOCICNN, train: Data, held: Data | None, loss: Loss, seed: int, *, kinks: bool) -> History:
        frame = Frame(model, train, loss.scale(train.y), standardise=True)
        start(model, frame.samples(train.balanced()), seed, kinks=kinks)
        # nothing chooses among the penalties without rows held out: the strongest does not overfit a few rows
        ridge = self.ridge if held is not None else sorted(self.ridge)[-1:]
        if held is not None:
            ridge = _worth_trying(ridge, _level(model, frame, held, loss))
        options = FitOptions(polish=self.polish, ridge=ridge, gradient_weight=self.gradient_weight)
        with _branch_weights_held(model):
            return fit(
                model,
                train,
                loss=loss,
                epochs=self.epochs,
                learning_rate=self.learning_rate,
                batch_size=self.batch_size,
                validation=0.0 if held is None else held,
                seed=seed,
                progress=self.verbose,
                options=options,
            )


@torch.no_grad()
def _level(model: SOCICNN, frame: Frame, held: Data, loss: Loss) -> float:
    """Return the loss of the start on the rows held out, in standardised units."""
    if model.needs_data:
        return math.inf
    data = frame.samples(held.balanced())
    return float(loss.weighted(frame.predict(data), data.y, data.weight))


def _worth_trying(ridge: Sequence[float], level: float) -> Sequence[float]:
    """Return the penalties without those far above what is left to explain: they only pull a good start away."""
    return [strength for strength in ridge if not strength > FAR * level] or sorted(ridge)[:1]


@contextmanager
def _branch_weights_held(model: SOCICNN) -> Iterator[None]:
    """Hold the weights of branches: their matrices take any size, and beta -> 0 with A -> 0 would be a dead end."""
    fixed = [parameter for parameter in _branch_weights(model) if parameter.requires_grad]
    for parameter in fixed:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in fixed:
            parameter.requires_grad_(True)


def _branch_weights(model: SOCICNN) -> list[nn.Parameter]:
    """Return beta and gamma where they are parameters: without a context, held by projection."""
    if model.context_shape is not None or not isinstance(model.positivity, Projected):
        return []
    return [
        p
        for name, p in model.named_parameters()
        if name.startswith(("vectors.positive.beta", "vectors.positive.gamma"))
    ]
