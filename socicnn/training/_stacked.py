"""Fit several networks of one architecture at once: seeds, or rates, of small networks that leave a processor idle."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.func import stack_module_state

from socicnn._arrays import as_float64
from socicnn.errors import ModelError
from socicnn.positivity._base import Weight, act_after_step, penalty_of, weights_in
from socicnn.training._data import stacked
from socicnn.training._frame import checked
from socicnn.training._history import DivergedError, History
from socicnn.training._loop import train
from socicnn.training._losses import AnyLoss
from socicnn.training._options import FitOptions, accepts_moved_keywords, run_settings
from socicnn.training._rules import RULES, UpdateRule
from socicnn.training._run import Run


@accepts_moved_keywords
def fit_stacked(
    models: Sequence[nn.Module],
    data: Any,
    *,
    seeds: Sequence[int | torch.Generator] | None = None,
    loss: AnyLoss = "auto",
    epochs: int = 200,
    learning_rate: float | Sequence[float] = 1e-2,
    batch_size: int | None = None,
    validation: float | Any = 0.1,
    progress: bool = True,
    options: FitOptions | None = None,
) -> list[History]:
    """Train networks of one architecture in place: what `fit` does to each with its seed, to rounding.

    Their parameters lie side by side in one matrix, one row per network, and a step is one batched computation. Each
    has a split, batches, standardisation, optimiser state, recipe and best weights of its own; one that stops early
    leaves the stack, and so does one whose loss is no longer finite, which leaves the others as they are.

    It pays for small networks, whose steps are mostly overhead; wide ones are better trained in parallel processes
    (`python -m benchmarks.training` measures both).

    Args:
        models: networks that differ in their values alone, recipe's state included.
        data: as in `fit`, the same for all; or a list of data of equal shapes, one per model.
        seeds: seeds, or generators, of the split and the batches of each model; default to 0, 1, ...
        loss: as in `fit`.
        epochs: as in `fit`.
        learning_rate: as in `fit`; or one per model.
        batch_size: as in `fit`.
        validation: as in `fit`.
        progress: as in `fit`.
        options: as in `fit`, without checkpoint and callbacks; the models are polished one after the other.

    Returns:
        The history of each model; its seconds are an equal share of the time that the steps took.

    Raises:
        ModelError: models that differ in more than their values, or invalid settings or data.
        DivergedError: a loss is no longer finite. It is raised at the end, when the other models are trained; it has
            all histories, `ok` being False for those that diverged, and all models have their best weights.

    >>> from socicnn import SOCICNN
    >>> x = torch.rand(64, 2, generator=torch.Generator().manual_seed(0))
    >>> models = [SOCICNN(2, (8,), generator=torch.Generator().manual_seed(seed)) for seed in range(3)]
    >>> histories = fit_stacked(models, (x, x.square().sum(dim=1)), epochs=5, progress=False)
    >>> [history.epochs for history in histories]
    [5, 5, 5]
    """
    models, options = list(models), options or FitOptions()
    _alike(models)
    for name in ("checkpoint", "micro_batch", "on_step", "on_epoch"):
        if getattr(options, name) is not None:
            raise ModelError(f"{name} is not for stacked models; fit them one by one, or leave it out")
    count = len(models)
    seeds = list(range(count)) if seeds is None else list(seeds)
    sources = list(data) if isinstance(data, list) else [data] * count
    rates, decays = _each("learning_rate", learning_rate, count), _each("weight_decay", options.weight_decay, count)
    finishes = _each("polish", options.polish, count)
    if len(seeds) != count or len(sources) != count:
        raise ModelError(
            f"{count} models need one seed and one data set each; received {len(seeds)} seeds and "
            f"{len(sources)} data sets"
        )
    runs = [
        Run(
            model, source, loss, validation, seed, run_settings(options, epochs, batch_size, rate, decay, round(finish))
        )
        for model, source, seed, rate, decay, finish in zip(
            models, sources, seeds, rates, decays, finishes, strict=True
        )
    ]
    if any(run.train.gradient is not None or run.train.weight is not None for run in runs):
        raise ModelError("stacked models take no gradients and no weights; fit them one by one")
    shapes = {(run.train.x.shape, None if run.train.context is None else run.train.context.shape) for run in runs}
    if len(shapes) != 1:
        raise ModelError(
            f"stacked models need training data of equal shapes; received x of {[tuple(x) for x, _ in shapes]}"
        )
    errors = train(_Stack(runs), epochs=runs[0].settings["epochs"], description=options.description, progress=progress)
    for run in runs:
        if run.settings["polish"] and not run.lost:
            run.polish(run.settings["polish"], lambda value: None)
    if errors:
        raise DivergedError("; ".join(errors), [run.history for run in runs])
    return [run.history for run in runs]


@final
class SideBySide:
    """Networks of one architecture, the tensors that are trained in one matrix: a row per network.

    Args:
        models: the networks; they are copied.
    """

    def __init__(self, models: Sequence[nn.Module]) -> None:
        self.model: Any = copy.deepcopy(models[0]).train()  # what is mapped over the rows
        state, buffers = stack_module_state(list(models))
        named = dict([*self.model.named_parameters(), *self.model.named_buffers()])
        self.shapes = {name: tensor.shape for name, tensor in named.items() if tensor.requires_grad}
        flat = torch.cat([state[name].detach().reshape(len(models), -1) for name in self.shapes], dim=1)
        self.flat = flat.requires_grad_()
        self.others = {name: tensor.detach() for name, tensor in [*buffers.items(), *state.items()]}
        for name in self.shapes:
            del self.others[name]
        places: dict[int, list[tuple[dict[str, Any], str]]] = {}  # several for a tensor that modules share
        for module in self.model.modules():
            for store in (module._parameters, module._buffers):
                for key, tensor in store.items():
                    places.setdefault(id(tensor), []).append((store, key))
        self.places = [places[id(named[name])] for name in [*self.shapes, *self.others]]
        self.sizes = [shape.numel() for shape in self.shapes.values()]
        self.acts = _acts(self.model)

    @property
    def tensors(self) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The matrix, and the fixed parameters and buffers: what the functions that are mapped take first."""
        return self.flat, tuple(self.others.values())

    def placed(self, row: Tensor, others: tuple[Tensor, ...]) -> Any:
        """Return the network with views of a row, and the other tensors, in the place of its own.

        `torch.func.functional_call` does the same from dictionaries, whose handling costs as much as a small network.
        """
        views = [piece.view(shape) for piece, shape in zip(row.split(self.sizes), self.shapes.values(), strict=True)]
        for where, tensor in zip(self.places, [*views, *others], strict=True):
            for store, key in where:
                store[key] = tensor
        return self.model

    def after_step(self) -> None:
        """Let the recipe of each act after a step; it changes the tensors in place."""

        def act(row: Tensor, others: tuple[Tensor, ...]) -> Tensor:
            act_after_step(self.placed(row, others))
            return torch.zeros_like(row[0])

        if self.acts:
            torch.func.vmap(act)(*self.tensors)

    @torch.no_grad()
    def write(self, models: Sequence[nn.Module]) -> None:
        """Write the tensors of each into its model."""
        pieces = self.flat.split(self.sizes, dim=1)
        tensors = {**dict(zip(self.shapes, pieces, strict=True)), **self.others}
        for index, model in enumerate(models):
            for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
                tensor.copy_(tensors[name][index].reshape(tensor.shape))

    def keep(self, rows: Tensor) -> None:
        """Go on with some of the networks."""
        self.flat = self.flat.detach()[rows].requires_grad_()
        self.others = {name: tensor[rows] for name, tensor in self.others.items()}


def clipped(gradient: Tensor, clip: float | None) -> Tensor:
    """Return the gradients, one per row, scaled to norms of at most `clip`, as `clip_grad_norm_` does for one."""
    if clip is None:
        return gradient
    norm = torch.linalg.vector_norm(gradient, dim=1, keepdim=True)
    return gradient * (clip / (norm + 1e-6)).clamp(max=1.0)


@final
class _Stack:
    """The runs that still train, their tensors side by side.

    Args:
        runs: the runs, all at the same epoch.
    """

    def __init__(self, runs: list[Run]) -> None:
        self.runs, self.frame, self.loss = runs, runs[0].frame, runs[0].loss
        self.networks = SideBySide([run.model for run in runs])
        self.rule: UpdateRule = RULES[runs[0].settings["optimiser"]](self.networks.flat)
        self.objective = torch.func.vmap(self._objective, randomness="different")

    def epoch(self) -> list[float]:
        """Run one pass over the training data of every run; return its mean loss, one per run."""
        runs, settings, networks = self.runs, self.runs[0].settings, self.networks
        shuffled = stacked([run.shuffled() for run in runs])
        units = torch.stack([run.frame.mean for run in runs]), torch.stack([run.frame.scale for run in runs])
        column: dict[str, Any] = {"dtype": networks.flat.dtype, "device": networks.flat.device}
        rates = torch.tensor([[run.rate()] for run in runs], **column)
        decays = torch.tensor([[run.settings["weight_decay"]] for run in runs], **column)
        total = torch.zeros(len(runs), dtype=torch.float64, device=networks.flat.device)
        for first in range(0, shuffled.y.shape[1], runs[0].batch_size):
            batch = shuffled[(slice(None), slice(first, first + runs[0].batch_size))]
            arguments = (batch.x, batch.y, *units, *(() if batch.context is None else (batch.context,)))
            loss, objective = self.objective(*networks.tensors, *arguments)
            (gradient,) = torch.autograd.grad(objective.sum(), networks.flat)
            with torch.no_grad():
                self.rule.step(networks.flat, clipped(gradient, settings["clip"]), rates, decays)
                networks.after_step()
                total += loss.detach() * batch.x.shape[1]
        networks.write([run.model for run in runs])
        return [float(value) / shuffled.y.shape[1] for value in total]

    def keep(self, runs: list[Run]) -> None:
        """Go on with some of the runs."""
        if len(runs) == len(self.runs):
            return
        rows = torch.tensor([self.runs.index(run) for run in runs], dtype=torch.int64, device=self.networks.flat.device)
        self.runs = runs
        self.networks.keep(rows)
        self.rule.keep(rows)

    def _objective(
        self,
        row: Tensor,
        others: tuple[Tensor, ...],
        x: Tensor,
        target: Tensor,
        mean: Tensor,
        scale: Tensor,
        context: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return the loss of one network at a batch, and the loss plus the recipe's penalty."""
        model = self.networks.placed(row, others)
        theta = context.unsqueeze(1) if context is not None and target.ndim == 2 else context
        self.frame.condition(model, x, theta)
        value = checked(self.frame.value(model, x, theta), target)
        loss = self.loss.weighted((value - mean) / scale, target, None)
        return loss, loss + penalty_of(model)


def _acts(model: nn.Module) -> bool:
    """Return whether there is an `after_step` that acts: none does where every recipe leaves its weights alone."""
    if hasattr(model, "after_step") and not hasattr(model, "constrained"):
        return True
    return any(type(weight).after_step is not Weight.after_step for weight in weights_in(model))


def _each(name: str, setting: float | Sequence[float], count: int) -> list[float]:
    array = as_float64(setting, name)
    values: list[float] = array.tolist() if array.ndim else [float(array)] * count
    if array.ndim > 1 or len(values) != count:
        raise ModelError(f"{name} must be one number, or one per model; received {len(values)} for {count} models")
    return values


def check_distinct(models: Sequence[nn.Module]) -> None:
    """Raise a ModelError where there are no models, or one of them stands in two places: the last run would win."""
    if not models:
        raise ModelError("there are no models to fit")
    if len(set(map(id, models))) < len(models):
        raise ModelError("a model stands in two places; make one per run, such as [make() for _ in range(3)]")


def _alike(models: list[nn.Module]) -> None:
    check_distinct(models)

    def kind(model: Any) -> Any:
        tensors = {name: (tensor.shape, tensor.dtype, tensor.device) for name, tensor in model.state_dict().items()}
        trains = [parameter.requires_grad for parameter in model.parameters()]
        return type(model), trains, tensors, model.config() if hasattr(model, "config") else None

    first = kind(models[0])
    if any(kind(model) != first for model in models[1:]):
        raise ModelError("stacked models must share architecture, recipe, type and settings; fit them apart")
    if len({parameter.dtype for parameter in models[0].parameters()}) > 1:
        raise ModelError("the parameters of a stacked model must be of one type; convert it with `model.double()`, say")
