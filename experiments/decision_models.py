"""The models of experiment 3: how each is made and trained, and the configurations that are tried on validation data.

Every model trained with the within-context loss has six configurations, chosen from on validation contexts; trained as
the benchmark's authors do (loss `seed`), it has theirs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import torch

import decision
from decision import surrogates
from decision.baselines import StructuredDCP, StructuredPCF
from decision.baselines.seed_training import NETWORKS, SEED_START, STRUCTURED, SeedTraining, fit_as_seed
from decision.tasks import Data
from socicnn.nn.network import Network
from socicnn.training.history import History

Configuration = dict[str, Any]  # {"shape": arguments of the network, "training": arguments of fit}
TRIES = 6  # configurations of every model: the tuning budget
KINDS = surrogates.KINDS
JOINT = tuple(f"{kind}-joint" for kind in KINDS)
PARTIAL = tuple(f"{kind}-partial" for kind in KINDS)
LIFTS = tuple(f"lift-{kind}-{context}" for context in ("joint", "partial") for kind in ("relu", "soc"))
BASELINES: dict[str, type[Network]] = {"structured-pcf": StructuredPCF, "structured-dcp": StructuredDCP}
NAMES = (*JOINT, *PARTIAL, *LIFTS, *BASELINES)
NO_PROGRAM = ("softplus-joint", "softplus-partial", "structured-dcp")


@final
@dataclass(frozen=True)
class Fitted:
    """A trained surrogate.

    Args:
        model: with plain weights.
        epochs: passes over the data that were made.
        history: of the training.
    """

    model: Network
    epochs: int
    history: History


def configurations(name: str, n: int) -> list[Configuration]:
    """Return the configurations of a model at n inputs, six of each."""
    if name in BASELINES:
        found = [_configuration({}, 1.0, rate, decay, "adamw") for rate in (5e-3, 1e-2, 2e-2) for decay in (0.0, 0.01)]
    elif name.endswith("joint"):
        found = [
            _configuration({}, 0.3 if n < surrogates.WIDE else 0.15, rate, decay, "adamw")
            for rate in (2e-3, 5e-3, 1e-2)
            for decay in (0.0, 0.1)
        ]
    else:
        found = [
            _configuration({**shape, **emitter}, 1.0, 5e-3, 0.1, "adamw")
            for emitter in _emitters(n)
            for shape in _SHAPES[name.removeprefix("lift-").removesuffix("-partial")](n, name.startswith("lift"))
        ]
    assert len(found) == TRIES
    return found


def _configuration(shape: dict[str, Any], share: float, rate: float, decay: float, optimiser: str) -> Configuration:
    training = {
        "epochs": round(200 * share),
        "batch_size": 16,
        "learning_rate": rate,
        "weight_decay": decay,
        "optimiser": optimiser,
    }
    return {"shape": shape, "training": training}


def _emitters(n: int) -> list[dict[str, Any]]:
    """Return two context networks: a narrow one, for costs nearly affine in theta, and a wide one, for kinks."""
    return [{"context_hidden": 8}, {"context_hidden": 128 if n < surrogates.WIDE else 256}]


def _conic(n: int, lifted: bool) -> list[dict[str, Any]]:
    """Return three sets of norms: one wide, two wide, many narrow ones."""
    wide = max(5, 2 * n // 5)
    norms = [(wide,), (max(5, n // 3),) * 2, (4,) * max(12, n // 2 + 7)]
    return [{"hidden_features": (16, 16) if lifted else (), "norm": norm} for norm in norms]


def _polyhedral(n: int, lifted: bool) -> list[dict[str, Any]]:
    return [{"hidden_features": hidden} for hidden in ((32,), (96,), (32, 32))]


def _quadratic(n: int, lifted: bool) -> list[dict[str, Any]]:
    return [
        {"hidden_features": (32,)},
        {"hidden_features": (96,)},
        {"hidden_features": (64,), "quadratic": (("diagonal", max(4, n // 2)),)},
    ]


_SHAPES: dict[str, Callable[[int, bool], list[dict[str, Any]]]] = {
    "relu": _polyhedral,
    "softplus": _polyhedral,
    "quad": _quadratic,
    "norm": _conic,
    "soc": _conic,
}


def make(name: str, n: int, p: int, seed: int, shape: dict[str, Any]) -> Network:
    """Return a fresh model."""
    generator = torch.Generator().manual_seed(seed)
    if name in BASELINES:
        made: Any = BASELINES[name]
        return made(n, p, generator=generator, **shape)
    return surrogates.make(name, n, p, generator=generator, **shape)


def train(
    name: str,
    loss: str,
    data: Data,
    seed: int,
    configuration: Configuration,
    share: float = 1.0,
    progress: bool = False,
) -> Fitted:
    """Train a model of that name.

    Args:
        name: one of `NAMES`.
        loss: `seed`, as the benchmark's authors do, or a loss of `decision.fit`.
        data: labelled candidates.
        seed: seed of the initial weights, the split and the batches.
        configuration: from `configurations`, or of `as_seed`.
        share: share of the epochs to run.
        progress: whether to show a progress bar.
    """
    model = make(name, data.x.shape[-1], data.context.shape[-1], seed, shaped(configuration["shape"]))
    training = dict(configuration["training"])
    epochs = max(1, round(share * training.pop("epochs")))
    if loss == "seed":
        settings = SeedTraining(**{**training, "epochs": epochs})
        history = fit_as_seed(model, data, settings=settings, seed=seed, progress=progress)
    else:
        history = decision.fit(model, data, loss=loss, seed=seed, epochs=epochs, progress=progress, **training)
    theta = data.context.unsqueeze(1).expand(-1, data.x.shape[1], -1)
    return Fitted(model.finalise((data.x.to(model.dtype), theta.to(model.dtype))).double(), history.epochs, history)


def as_seed(name: str) -> Configuration:
    """Return the authors' own configuration."""
    settings = STRUCTURED if name in BASELINES else NETWORKS
    shape = {} if name in BASELINES else {"positivity": SEED_START["positivity"], "initialiser": "xavier_softplus"}
    return {"shape": shape, "training": dict(vars(settings))}


def shaped(shape: dict[str, Any]) -> dict[str, Any]:
    """Return a shape that went through JSON with tuples in place of lists."""

    def tupled(value: Any) -> Any:
        return tuple(map(tupled, value)) if isinstance(value, list | tuple) else value

    return {key: tupled(value) for key, value in shape.items()}
