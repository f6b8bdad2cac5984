"""Fit a network by mini-batches of contexts, with validation, early stopping and resumable checkpoints."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from socicnn.errors import ModelError
from socicnn.training import checkpoint as checkpoints
from socicnn.training.data import Samples, as_samples
from socicnn.training.history import History
from socicnn.training.losses import Loss, make_loss

OPTIMISERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": torch.optim.SGD,
}

# share of the learning rate at a fraction t of the run
SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda t: 1.0,
    "cosine": lambda t: 0.5 * (1 + math.cos(math.pi * t)),
}


def fit(
    model: nn.Module,
    data: Any,
    *,
    loss: Loss | str | Callable[[Tensor, Tensor], Tensor] = "mse",
    epochs: int = 200,
    batch_size: int | None = None,
    learning_rate: float = 1e-2,
    weight_decay: float = 0.0,
    optimiser: str = "adam",
    schedule: str = "cosine",
    clip: float | None = None,
    validation: float | Any = 0.1,
    patience: int | None = None,
    standardise: bool = True,
    seed: int | torch.Generator = 0,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_seconds: float = 10.0,
    progress: bool = True,
    description: str = "fit",
    on_step: Callable[[int, nn.Module], None] | None = None,
    on_epoch: Callable[[History], None] | None = None,
) -> History:
    """Train a network in place and leave it with its best weights.

    A network whose weights need data to end (the lift) is conditioned on every batch; call `model.finalise` afterwards.

    Args:
        model: a network of `socicnn.nn`, or any module called as `model(x, context)`; the hooks `standardise`,
            `condition`, `penalty` and `after_step` are used where it has them.
        data: an object with x, y and perhaps context, or (x, y), or (x, context, y). Either several candidates a
            context, x `(contexts, candidates, n)`, context `(contexts, p)`, y `(contexts, candidates)`; or single
            points, x `(points, n)`, y `(points,)`.
        loss: `mse`, `smooth_l1`, `within_context`, a `Loss`, or a function of standardised (prediction, target).
        epochs: passes over the data at most.
        batch_size: contexts (or points) a step; 16 contexts, or 256 points, where None.
        learning_rate: step size at the start.
        weight_decay: as in the optimiser.
        optimiser: `adam`, `adamw` or `sgd`.
        schedule: `cosine` (to zero over the epochs) or `constant`.
        clip: largest norm of the whole gradient; None for no limit.
        validation: share of the contexts held out, or data to validate on; 0 for none (the last weights are kept).
        patience: epochs without a better validation loss before stopping; None to run all epochs.
        standardise: whether to set the network's standardisation from the training data first (a constant feature
            keeps scale 1; the scale of y is such that predicting the mean has a loss of about one).
        seed: seed, or generator, of the split and of the batches; initial weights are the network's own matter.
        checkpoint: file to keep progress in; if it exists the run goes on from there, with the same result as a run
            that was never interrupted.
        checkpoint_seconds: least time between two checkpoints.
        progress: whether to show a progress bar.
        description: its label.
        on_step: called as `on_step(step, model)` after every step.
        on_epoch: called with the history after every epoch.

    Returns:
        The history.

    Raises:
        ModelError: data or settings that cannot be used, a loss that is no longer finite (the best weights so far are
            put back), or a checkpoint of another run.
        FileError: a checkpoint that cannot be read or written.

    >>> from socicnn import SOCICNN
    >>> x = torch.rand(64, 2, generator=torch.Generator().manual_seed(0))
    >>> history = fit(SOCICNN(2, (8,)), (x, x.square().sum(dim=1)), epochs=5, progress=False)
    >>> history.epochs
    5
    """
    run = _Run(
        model,
        data,
        make_loss(loss),
        validation,
        seed,
        settings={
            "epochs": _whole("epochs", epochs),
            "batch_size": None if batch_size is None else _whole("batch_size", batch_size),
            "learning_rate": _positive("learning_rate", learning_rate),
            "weight_decay": weight_decay,
            "optimiser": _known("optimiser", optimiser, OPTIMISERS),
            "schedule": _known("schedule", schedule, SCHEDULES),
            "clip": None if clip is None else _positive("clip", clip),
            "patience": None if patience is None else _whole("patience", patience),
            "standardise": standardise,
        },
    )
    run.open(checkpoint, checkpoint_seconds)
    bar = tqdm(total=epochs, initial=run.history.epochs, desc=description, unit="epoch", disable=not progress)
    with bar:
        while not run.done:
            run.epoch(on_step)
            bar.update()
            bar.set_postfix_str(run.postfix())
            run.keep(checkpoint)
            if on_epoch is not None:
                on_epoch(run.history)
    run.close()
    return run.history


class _Run:
    """One run and its state; what `state()` returns is all that a resumed run needs."""

    def __init__(
        self,
        model: nn.Module,
        data: Any,
        loss: Loss,
        validation: Any,
        seed: int | torch.Generator,
        settings: dict[str, Any],
    ) -> None:
        self.model, self.loss, self.settings = model, loss, settings
        parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        if not parameters:
            raise ModelError("the model has no parameters to train")
        self.dtype, self.device = parameters[0].dtype, parameters[0].device
        self.generator = seed if isinstance(seed, torch.Generator) else torch.Generator().manual_seed(seed)
        start = self.generator.get_state()
        samples = as_samples(data, self.dtype, self.device)
        if hasattr(model, "check"):
            check: Any = model.check
            check(samples.x[:1], samples[:1].aligned())
        self.train, self.validation = self._split(samples, validation)
        self.batch_size: int = settings["batch_size"] or (16 if samples.grouped else 256)
        self.mark = checkpoints.fingerprint(
            {
                **settings,
                "loss": loss.name,
                "loss_settings": repr(loss),
                "generator": start.tolist(),
                "weights": checkpoints.weights_hash(model),
            },
            self.train,
            self.validation,
        )
        self.y_mean, self.y_scale = self.train.y.mean(), loss.scale(self.train.y)
        if not self.y_scale > 0:
            self.y_scale = torch.ones_like(self.y_scale)
        if settings["standardise"] and hasattr(model, "standardise"):
            self._standardise()
        kind, extra = OPTIMISERS[settings["optimiser"]], {"fused": True}
        self.optimiser = kind(parameters, lr=settings["learning_rate"], weight_decay=settings["weight_decay"], **extra)
        self.parameters = parameters
        self.history = History()
        self.best: dict[str, Any] = checkpoints.copied(model.state_dict())
        self.best_loss = math.inf
        self.steps = 0
        self.begun = time.perf_counter()
        self.saved = -math.inf
        self.interval = 0.0

    def _split(self, samples: Samples, validation: Any) -> tuple[Samples, Samples | None]:
        if not isinstance(validation, int | float):
            return samples, as_samples(validation, self.dtype, self.device)
        if not 0 <= validation < 1:
            raise ModelError(f"validation must be a share in [0, 1) or data; received {validation}")
        held = round(validation * len(samples))
        if not held:
            return samples, None
        order = torch.randperm(len(samples), generator=self.generator).to(self.device)
        return samples[order[held:]], samples[order[:held]]

    def _standardise(self) -> None:
        given = {"x": self.train.x, "context": self.train.context}
        means: dict[str, Tensor] = {"y_mean": self.y_mean, "y_scale": self.y_scale}
        for name, values in given.items():
            if values is not None:
                means[f"{name}_mean"], means[f"{name}_scale"] = _statistics(self.model, name, values)
        standardise: Any = self.model.standardise
        standardise(**means)

    def _hook(self, name: str) -> Any:
        return getattr(self.model, name, None)

    def _predict(self, batch: Samples) -> Tensor:
        context = batch.aligned()
        value = self.model(batch.x) if context is None else self.model(batch.x, context)
        return (value - self.y_mean) / self.y_scale

    def _target(self, batch: Samples) -> Tensor:
        return (batch.y - self.y_mean) / self.y_scale

    @property
    def done(self) -> bool:
        return self.history.stopped_early or self.history.epochs >= self.settings["epochs"]

    def epoch(self, on_step: Callable[[int, nn.Module], None] | None) -> None:
        """Run one pass over the training data, then validate."""
        started = time.perf_counter()
        settings, model = self.settings, self.model
        condition, penalty, after_step = (self._hook(name) for name in ("condition", "penalty", "after_step"))
        share = SCHEDULES[settings["schedule"]](self.history.epochs / settings["epochs"])
        for group in self.optimiser.param_groups:
            group["lr"] = settings["learning_rate"] * share
        order = torch.randperm(len(self.train), generator=self.generator).to(self.device)
        shuffled = self.train[order]
        targets = self._target(shuffled)
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        model.train()
        for first in range(0, len(order), self.batch_size):
            rows = slice(first, first + self.batch_size)
            batch = shuffled[rows]
            self.optimiser.zero_grad(set_to_none=True)
            if condition is not None:
                condition(batch.x, batch.aligned())
            loss = self.loss(self._predict(batch), targets[rows])
            objective = loss if penalty is None else loss + penalty()
            objective.backward()
            if settings["clip"] is not None:
                nn.utils.clip_grad_norm_(self.parameters, settings["clip"])
            self.optimiser.step()
            if after_step is not None:
                after_step()
            total += loss.detach() * len(batch)
            self.steps += 1
            if on_step is not None:
                on_step(self.steps, model)
        model.eval()
        self.history.train.append(float(total) / len(order))
        watched = self.history.train[-1]
        if self.validation is not None:
            watched = self._validate(self.validation)
            self.history.validation.append(watched)
        self.history.seconds += time.perf_counter() - started
        if not math.isfinite(self.history.train[-1]) or not math.isfinite(watched):
            self.model.load_state_dict(self.best)
            raise ModelError(
                f"the loss is no longer finite in epoch {self.history.epochs}; lower learning_rate "
                f"(now {settings['learning_rate']:g}) or set clip; the best weights so far are back in place"
            )
        if self.validation is None or watched < self.best_loss:
            self.best_loss, self.history.best_epoch = watched, self.history.epochs
            self.best = checkpoints.copied(model.state_dict())
        patience = settings["patience"]
        if patience is not None and self.validation is not None:
            self.history.stopped_early = self.history.epochs - self.history.best_epoch >= patience

    @torch.no_grad()
    def _validate(self, samples: Samples) -> float:
        total, size = 0.0, 256
        for first in range(0, len(samples), size):
            batch = samples[slice(first, first + size)]
            total += float(self.loss(self._predict(batch), self._target(batch))) * len(batch)
        return total / len(samples)

    def postfix(self) -> str:
        """Return the losses for the progress bar."""
        parts = [f"loss {self.history.train[-1]:.3g}"]
        if self.history.validation:
            parts.append(f"validation {self.history.validation[-1]:.3g} (best {self.best_loss:.3g})")
        return ", ".join(parts)

    def state(self) -> dict[str, Any]:
        """Return what a resumed run needs."""
        return {
            "model": self.model.state_dict(),
            "best": self.best,
            "best_loss": self.best_loss,
            "optimiser": self.optimiser.state_dict(),
            "generator": self.generator.get_state(),
            "history": asdict(self.history),
            "steps": self.steps,
        }

    def open(self, path: str | os.PathLike[str] | None, interval: float) -> None:
        """Go on from the checkpoint, if there is one."""
        self.interval = interval
        state = None if path is None else checkpoints.read(path, self.mark, self.device)
        if state is None:
            return
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.generator.set_state(state["generator"].cpu())
        self.best, self.best_loss, self.steps = state["best"], state["best_loss"], state["steps"]
        self.history = History(**state["history"])
        self.history.resumed = self.history.epochs

    def keep(self, path: str | os.PathLike[str] | None) -> None:
        """Write a checkpoint if it is time, and always after the last epoch."""
        now = time.perf_counter()
        if path is not None and (self.done or now - self.saved >= self.interval):
            checkpoints.write(path, self.mark, self.state())
            self.saved = now

    def close(self) -> None:
        """Put the best weights in place."""
        self.model.load_state_dict(self.best)
        self.model.eval()


def _statistics(model: nn.Module, name: str, values: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation over all axes but those that the network standardises one by one."""
    buffer: Tensor = model.get_buffer(f"standardisation.{name}_mean")
    lead = values.ndim - buffer.ndim
    axes = [*range(lead), *(lead + axis for axis, size in enumerate(buffer.shape) if size == 1)]
    wide = values.double()
    scale = wide.std(dim=axes, unbiased=False, keepdim=True)
    scale = torch.where(scale > 1e-12 * (1 + wide.abs().amax(dim=axes, keepdim=True)), scale, 1.0)
    mean = wide.mean(dim=axes, keepdim=True)
    return mean.reshape(buffer.shape), scale.reshape(buffer.shape)


def _whole(name: str, value: int) -> int:
    if not isinstance(value, int) or value < 1:
        raise ModelError(f"{name} must be an integer >= 1; received {value!r}")
    return value


def _positive(name: str, value: float) -> float:
    if not 0 < value < math.inf:
        raise ModelError(f"{name} must be a finite number > 0; received {value!r}")
    return value


def _known(name: str, value: str, registry: dict[str, Any]) -> str:
    if value not in registry:
        raise ModelError(f"unknown {name} '{value}'; there are: {', '.join(sorted(registry))}")
    return value
