"""One training run: its state, its epochs, and what a checkpoint keeps of it."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn

from socicnn._frames import agreed_columns
from socicnn._integers import as_seed
from socicnn.errors import ModelError
from socicnn.positivity._base import penalty_of
from socicnn.positivity._encoder import Encoder
from socicnn.positivity._hypernetwork import TAG
from socicnn.training import _checkpoint as checkpoints
from socicnn.training._data import Data, as_data, check_layout, refuse_reordered
from socicnn.training._described import described
from socicnn.training._frame import Frame
from socicnn.training._history import History
from socicnn.training._losses import AnyLoss, Pointwise, chosen_loss
from socicnn.training._options import SCHEDULES
from socicnn.training._polish import polish
from socicnn.training._sizing import warn_of_large_branches

OPTIMISERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": torch.optim.SGD,
}

LARGEST_BATCH, STEPS = 256, 32  # points of a batch at most; steps of an epoch of a small table
VALIDATED = 256  # points or contexts that are validated at a time at most


class Run:
    """One run and its state; what `state()` returns is all that a resumed run needs."""

    def __init__(
        self,
        model: nn.Module,
        data: Any,
        loss: AnyLoss,
        validation: Any,
        seed: int | torch.Generator,
        settings: dict[str, Any],
    ) -> None:
        self.model, self.settings = model, settings
        parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        if not parameters:
            raise ModelError("the model has no parameters to train")
        self._check_tags()
        self.dtype, self.device = parameters[0].dtype, parameters[0].device
        if not isinstance(seed, torch.Generator):
            seed = torch.Generator().manual_seed(as_seed("seed", seed))
        self.generator = seed
        start = self.generator.get_state()
        source = data
        self.loss, data, reason = chosen_loss(loss, as_data(source))
        self._check(data)
        self.ranges = data.ranges().after(getattr(model, "ranges", None), widened=not settings["standardise"])
        warn_of_large_branches(model, data.y.numel())
        train, held = self._split(data, validation)
        if not isinstance(validation, Real):
            refuse_reordered(source, validation)
        usual = 16 if data.grouped else min(LARGEST_BATCH, max(16, len(train) // STEPS))
        self.batch_size: int = settings["batch_size"] or usual
        self.mark = checkpoints.Mark.of(
            {
                **settings,
                "loss": self.loss.name,
                "loss_settings": described(self.loss),
                "generator": start.tolist(),
                "weights": checkpoints.weights_hash(model),
            },
            train,
            held,
        )
        self.frame = Frame(model, train, self.loss.scale(train.y), settings["standardise"])
        self.train = self.frame.samples(train.balanced())
        with _of_validation():
            self.validation = None if held is None else self.frame.samples(held.balanced())
        self.frame.model.ranges = self.ranges
        kind = OPTIMISERS[settings["optimiser"]]
        self.optimiser = kind(
            parameters, lr=settings["learning_rate"], weight_decay=settings["weight_decay"], fused=True
        )
        self.parameters = parameters
        self.micro_batch: int | None = None
        self.history = History(loss=self.loss.name, reason=reason)
        self.best: dict[str, Any] = checkpoints.copied(model.state_dict())
        self.best_loss = math.inf
        self.steps = 0
        self.lost = False
        self.begun = time.perf_counter()
        self.saved = -math.inf
        self.interval = 0.0

    def _check(self, data: Data) -> None:
        """Raise a ModelError where the model tells that it cannot take the data."""
        model: Any = self.model
        if not hasattr(model, "check"):
            return
        if hasattr(model, "input_shape") and hasattr(model, "context_shape"):
            check_layout(data, model.input_shape, model.context_shape)
        first = data[:1].to(self.device, self.dtype)
        model.check(first.x, first.aligned())

    def _check_tags(self) -> None:
        """Raise a ModelError where a parameter is marked as non-negative, and nothing would keep it so."""
        named = self.model.named_parameters()
        tagged = [name for name, parameter in named if getattr(parameter, TAG, False) and parameter.requires_grad]
        if tagged and not hasattr(self.model, "after_step"):
            raise ModelError(
                f"{tagged[0]} of {type(self.model).__name__} is tagged `{TAG}`, and nothing keeps it non-negative; "
                "give the module an `after_step` that clamps it, or fit a HyperNetwork around it"
            )

    def _held(self, samples: Data, validation: Any) -> Data:
        """Return data to validate on, which fit the model, the training data and the loss."""
        held = as_data(validation)
        if samples.grouped:
            held = held.gathered()[0]
        self._check(held)
        for part in ("x", "context"):
            agreed_columns(getattr(held, f"{part}_names"), getattr(self.ranges, f"{part}_names"), part)
        if held.row_shapes != samples.row_shapes:
            raise ModelError(f"one row has the shapes {held.row_shapes}, in the training data {samples.row_shapes}")
        if held.grouped != samples.grouped and not isinstance(self.loss, Pointwise):
            raise ModelError(
                f"the loss {self.loss.name} needs y in the layout of the training data, shape "
                f"{tuple(samples.y.shape)}; received {tuple(held.y.shape)}"
            )
        if held.weight is not None:
            self.loss.weighted(held.y, held.y, held.weight)  # refuses weights that it cannot use
        return held

    def _split(self, samples: Data, validation: Any) -> tuple[Data, Data | None]:
        if not isinstance(validation, Real):
            with _of_validation():
                return samples, self._held(samples, validation)
        if not 0 <= float(validation) < 1:
            raise ModelError(f"validation must be a share in [0, 1) or data; received {validation}")
        count = min(round(float(validation) * len(samples)), len(samples) - 1)
        if not count:
            return samples, None
        return samples.split(count, self.generator)

    def divide(self, micro_batch: int | None) -> None:
        """Compute this many contexts (or points) at a time; None for whole batches.

        Raises:
            ModelError: the weights depend on the whole batch.
        """
        if micro_batch is not None and getattr(self.model, "needs_data", False):
            raise ModelError("micro_batch cannot be used where the weights depend on the whole batch; leave it out")
        self.micro_batch = micro_batch

    @property
    def done(self) -> bool:
        """Whether training has finished."""
        return self.history.stopped_early or self.history.epochs >= self.settings["epochs"]

    def rate(self) -> float:
        """Return the learning rate of the next epoch."""
        settings = self.settings
        share = SCHEDULES[settings["schedule"]](self.history.epochs / settings["epochs"])
        return float(settings["learning_rate"] * share)

    def shuffled(self) -> Data:
        """Return the training data in a new order."""
        return self.train[torch.randperm(len(self.train), generator=self.generator).to(self.device)]

    def judge(self, loss: float, seconds: float) -> None:
        """End an epoch: validate, keep the weights if they are the best so far.

        Args:
            loss: mean training loss of the epoch.
            seconds: that its steps took.

        Raises:
            ModelError: a loss is not finite; the best weights are restored.
        """
        started, settings, model = time.perf_counter(), self.settings, self.model
        model.eval()
        self.history.train.append(loss)
        watched = self.history.train[-1]
        if self.validation is not None:
            with _of_validation():
                watched = self._validate(self.validation)
            self.history.validation.append(watched)
        self.history.seconds += seconds + time.perf_counter() - started
        if not math.isfinite(self.history.train[-1]) or not math.isfinite(watched):
            self.model.load_state_dict(self.best)
            self.lost = True
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
    def _validate(self, samples: Data, model: Any = None) -> float:
        model = model or self.model
        if getattr(model, "needs_data", False):  # its weights depend on the batch; judge those it would end with
            model = self.frame.finalised(model, self.train.like(model))
        total, size = 0.0, self.micro_batch or VALIDATED
        for first in range(0, len(samples), size):
            batch = samples[slice(first, first + size)]
            total += float(self.error(batch, model)) * len(batch)
        return total / len(samples)

    def error(self, batch: Data, model: Any = None) -> Tensor:
        """Return the loss of a batch: of the values, plus that of the gradients where they are labels.

        Both are in standardised units; the second is the mean over points of ||grad f - label||^2.
        """
        value = self.loss.weighted(self.frame.predict(batch, model), batch.y, batch.weight)
        if batch.gradient is None:
            return value
        errors = (self.frame.slope(batch, model) - batch.gradient).square()
        errors = errors.flatten(batch.y.ndim).sum(dim=-1)
        weighted = errors if batch.weight is None else batch.weight * errors
        return value + self.settings["gradient_weight"] * weighted.mean()

    def differentiate(self, batch: Data, penalty: Callable[[], Tensor] | None = None) -> Tensor:
        """Add the gradient of a batch's loss, and of the penalty, to those of the parameters; return the loss."""
        size = self.micro_batch or len(batch)
        losses: list[Tensor] = []
        for first in range(0, len(batch), size):
            part = batch[slice(first, first + size)]
            loss = self.error(part) if len(part) == len(batch) else self.error(part) * (len(part) / len(batch))
            objective = loss + penalty() if penalty is not None and not losses else loss
            objective.backward()
            losses.append(loss.detach())
        return losses[0] if len(losses) == 1 else torch.stack(losses).sum()

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
            "own": _own_states(self.device),
            "history": asdict(self.history),
            "steps": self.steps,
            "earlier": {name: encoder.earlier for name, encoder in self._encoders()},
        }

    def _encoders(self) -> Iterator[tuple[str, Encoder]]:
        """Yield the name and the encoder of each lift: it may keep points between steps, outside the weights."""
        return ((name, part) for name, part in self.model.named_modules() if isinstance(part, Encoder))

    def open(self, path: str | os.PathLike[str] | None, interval: float) -> None:
        """Go on from the checkpoint, if there is one."""
        self.interval = interval
        state = None if path is None else checkpoints.read(path, self.mark, self.device)
        if state is None:
            return
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.generator.set_state(state["generator"].cpu())
        _go_on_with(state.get("own", {}), self.device)  # older checkpoints have none
        self.best, self.best_loss, self.steps = state["best"], state["best_loss"], state["steps"]
        kept = state.get("earlier", {})  # older checkpoints have none
        for name, encoder in self._encoders():
            encoder.earlier = kept.get(name)
        self.history = History(**state["history"])
        self.history.resumed = self.history.epochs

    def keep(self, path: str | os.PathLike[str] | None) -> None:
        """Write a checkpoint if it is time, and always after the last epoch."""
        now = time.perf_counter()
        if path is not None and (self.done or now - self.saved >= self.interval):
            checkpoints.write(path, self.mark, self.state())
            self.saved = now

    @property
    def polished(self) -> bool:
        """Whether the finish by L-BFGS is done."""
        return bool(self.history.polish)

    def polish(self, iterations: int, tick: Callable[[float], None]) -> None:
        """Finish by L-BFGS from the weights in place, and keep what it found."""
        started = time.perf_counter()

        def objective(model: Any, samples: Data) -> Tensor:
            return self.error(samples, model)

        held = self.validation
        judge = None if held is None else lambda model: self._validate(held.like(model), model)
        done = polish(
            self.model, self.frame, objective, penalty_of, self.train, judge, iterations, tick, self.settings["ridge"]
        )
        self.history.polish, self.history.ridge, self.history.iterations = done
        self.best = checkpoints.copied(self.model.state_dict())
        self.history.seconds += time.perf_counter() - started

    def close(self) -> None:
        """Put the best weights in place."""
        self.model.load_state_dict(self.best)
        self.model.eval()


def _own_states(device: torch.device) -> dict[str, Tensor]:
    """Return the states of torch's own generators, which dropout and noise draw from, by device."""
    own = {"cpu": torch.get_rng_state()}
    return own | ({"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {})


def _go_on_with(states: dict[str, Tensor], device: torch.device) -> None:
    """Put torch's own generators where they were, so that dropout and noise go on as in an uninterrupted run."""
    if "cpu" in states:
        torch.set_rng_state(states["cpu"].cpu())
    if "cuda" in states and device.type == "cuda":  # a run may go on elsewhere
        torch.cuda.set_rng_state(states["cuda"].cpu(), device)


@contextmanager
def _of_validation() -> Iterator[None]:
    """Say of what is refused that it is the validation data."""
    try:
        yield
    except ModelError as error:
        raise ModelError(f"the validation data cannot be used: {error}") from None
