"""Training: as the paper does (squared errors of single candidates, AdamW, large batches), or within contexts.

`slopes` adds, within contexts, the squared errors of the gradient in x, which is labelled by the energy's: a candidate
then says as much about a network as it has coordinates, not one number (Sobolev training, Czarnecki et al., 2017).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from experiments.energies.networks import Way
from experiments.energies.problem import Problem, Split
from socicnn._files import replacing
from socicnn.training import MSE, Data, FitOptions, WithinContext, fit

RATE, DECAY = 2e-3, 1e-6  # of the paper's training
WITHIN_RATE, WITHIN_BATCH = 1e-2, 20  # of training within contexts; contexts of a step
LEVEL = 0.1  # weight of the level of a context
PART = 10  # contexts whose gradients are computed together
SLOPES_BATCH, SLOPES = 4, 0.03  # of training with gradients: contexts of a step, and weight, over the means of n x_i


def kept(path: Path, model: nn.Module, run: Callable[[], float]) -> float:
    """Give a model the weights in a file, or train it and write them there; return the seconds of its training."""
    if path.is_file():
        stored = torch.load(path, weights_only=True)
        model.load_state_dict(stored["weights"])
        return float(stored["seconds"])
    seconds = run()
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as draft:
        torch.save({"weights": model.state_dict(), "seconds": seconds}, draft)
    return seconds


def train(model: Any, way: Way, problem: Problem, train: Split, validation: Split, epochs: int, seed: int) -> float:
    """Train in place, keep the weights of the best validation loss, and return the seconds of processor time.

    Args:
        model: a network of `networks.make`.
        way: `paper`: AdamW with a constant rate, squared errors; `within`: Adam with a falling rate and small batches,
            squared errors within contexts; `slopes`: that and the squared errors of gradients.
        problem: whose data these are.
        train: training data.
        validation: validation data.
        epochs: passes over the training data.
        seed: of the batches.
    """
    started = time.process_time()
    paper, slopes = way == "paper", way == "slopes"
    model.to(memory_format=torch.channels_last)  # kernels of images are faster so
    network: nn.Module = getattr(model, "network", model)
    network.standardise(  # type: ignore[operator]
        x_mean=train.x.mean(),
        x_scale=train.x.std(),
        context_mean=train.context.mean(),
        context_scale=train.context.std(),
        y_mean=train.y.mean(),
        y_scale=train.y.std(),
    )
    weight = {"gradient_weight": SLOPES * problem.n**2} if slopes else {}
    fit(
        model,
        labelled(problem, train) if slopes else train,
        loss=MSE() if paper else WithinContext(LEVEL),
        epochs=epochs,
        learning_rate=RATE if paper else WITHIN_RATE,
        batch_size=problem.batch if paper else SLOPES_BATCH if slopes else WITHIN_BATCH,
        validation=labelled(problem, validation) if slopes else validation,
        seed=seed,
        progress=False,
        options=FitOptions(
            optimiser="adamw" if paper else "adam",
            schedule="constant" if paper else "cosine",
            weight_decay=DECAY if paper else 0.0,
            standardise=False,
            micro_batch=problem.micro_batch,
            **weight,
        ),
    )
    return time.process_time() - started


def labelled(problem: Problem, data: Split) -> Data:
    """Return data with the gradients of the energy in x, in float32."""
    parts = []
    for some, context in zip(data.x.split(PART), data.context.split(PART), strict=True):
        x = some.clone().requires_grad_()
        parts += torch.autograd.grad(problem.energy(x, context[:, None]).sum(), x)
    gradients = torch.cat(parts)
    return Data(*(part.float() for part in (data.x, data.context, data.y, gradients)))
