"""The models of experiment 3: how each is made and trained, and the configurations that are tried on validation data.

Every model trained with the within-context loss has five configurations, chosen from on validation contexts; trained as
the benchmark's authors do (loss `seed`), it has theirs.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, final

import torch

import decision
from decision import surrogates
from decision.baselines import StructuredDCP, StructuredPCF
from decision.tasks import Data
from experiments.baselines.seed.training import NETWORKS, SEED_START, STRUCTURED, SeedTraining, fit_as_seed
from socicnn.nn._network import Network
from socicnn.training import fit_stacked
from socicnn.training._history import DivergedError, History
from socicnn.training._options import gathered

# {"shape": arguments of the network, "training": arguments of fit, "focus": steps end to end, if any}
Configuration = dict[str, Any]
TRIES = 5  # configurations of every model: the tuning budget
KINDS = surrogates.KINDS
JOINT = tuple(f"{kind}-joint" for kind in KINDS)
PARTIAL = tuple(f"{kind}-partial" for kind in KINDS)
LIFTS = tuple(f"lift-{kind}-{context}" for context in ("joint", "partial") for kind in ("relu", "soc"))
BASELINES: dict[str, type[Network]] = {"structured-pcf": StructuredPCF, "structured-dcp": StructuredDCP}
SMOOTH = "smooth-partial"  # `soc-partial` with logistic and log-sum-exp branches
UNFOCUSED = "soc-partial"
FOCUSED = "focused-partial"  # the same, then trained end to end on the true cost of its decisions
STEPS = 40  # of that training
BALANCED = "balanced-partial"  # the same with no more labels than the others have; see `balanced`
NAMES = (*JOINT, *PARTIAL, *LIFTS, SMOOTH, *BASELINES)
SILU = {"context_activation": "silu"}  # heads smooth in theta
FINISH = 400  # iterations of L-BFGS after the last epochs, in one of the five configurations or shared by two
FEW = 10  # up to this number of inputs the data determine the squares' weights well enough to end with L-BFGS
OF_EACH = ("learning_rate", "weight_decay", "polish")  # settings that models of one stack have of their own
NOT_BY_SOLVERS = (
    "softplus-joint",
    "softplus-partial",
    SMOOTH,
)  # exponential cones: `benchmarks.decision_table` has them


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

    @property
    def failed(self) -> str:
        """What went wrong if the loss is no longer finite; else nothing."""
        finite = all(map(math.isfinite, [*self.history.train, *self.history.validation]))
        return "" if finite else f"the loss is no longer finite in epoch {self.epochs}"


def configurations(name: str, n: int) -> list[Configuration]:
    """Return the configurations of a model at n inputs, as many for each model."""
    if name == FOCUSED:
        found = [{**given, "focus": STEPS} for given in configurations(UNFOCUSED, n)]
    elif name == BALANCED:
        found = configurations(UNFOCUSED, n)
    elif name in BASELINES:
        rates = ((5e-3, 0.0, 1.0), (1e-2, 0.01, 1.0), (2e-2, 0.0, 2.0), (1e-2, 0.0, 2.0), (1e-2, 0.0, 2.0))
        found = [_configuration({}, share, rate, decay) for rate, decay, share in rates]
        found[-1]["training"]["polish"] = FINISH
    elif name.endswith("joint"):
        share = 0.3 if n < surrogates.WIDE else 0.15
        rates = ((2e-3, 0.0, share), (2e-3, 0.1, share), (1e-2, 0.0, share), (1e-2, 0.1, share), (5e-3, 0.0, 2 * share))
        found = [_configuration({}, share, rate, decay) for rate, decay, share in rates]
    else:
        shapes = _SHAPES[name.removeprefix("lift-").removesuffix("-partial")](n, name.startswith("lift"))
        # the last shape is the slowest to train, and gets twice the epochs
        shares = [1.0] * (TRIES - 1) + [2.0]
        found = [_configuration(shape, share, 5e-3, 0.1) for shape, share in zip(shapes, shares, strict=True)]
    assert len(found) == TRIES
    return found


def _configuration(shape: dict[str, Any], share: float, rate: float, decay: float) -> Configuration:
    """Return a configuration; a shape may bring arguments of `fit` of its own."""
    own = shape.get("training", {})
    training = {
        "epochs": round(200 * share),
        "batch_size": 16,
        "learning_rate": rate,
        "weight_decay": decay,
        "optimiser": "adamw",
        **own,
    }
    return {"shape": {name: value for name, value in shape.items() if name != "training"}, "training": training}


def _wide(n: int) -> int:
    """Return the width of a context network for costs with kinks in theta; a narrow one suits nearly affine costs."""
    return 128 if n < surrogates.WIDE else 256


def _conic(n: int, lifted: bool) -> list[dict[str, Any]]:
    """Return five sets of norms: one wide, two wide, one beside units, one with few codes, many narrow ones."""
    hidden = (16, 16) if lifted else ()
    return [
        {"hidden_features": hidden, "norm": (max(5, 2 * n // 5),), "context_hidden": _wide(n)},
        {"hidden_features": hidden, "norm": (max(5, n // 3),) * 2, "context_hidden": _wide(n)},
        {"hidden_features": (*hidden, 96), "norm": (max(5, n // 3),), "context_hidden": 32},
        {"hidden_features": hidden, "norm": (max(5, 2 * n // 5),), "context_hidden": 8},
        {"hidden_features": hidden, "norm": (4,) * max(12, n // 2 + 7), "context_hidden": 8},
    ]


def _conic_and_quadratic(n: int, lifted: bool) -> list[dict[str, Any]]:
    """Return the same with squares in the place of the units, and with other numbers of codes.

    A square is a quadratic of one row with an offset: its weight and its centre move with theta, as the curvature and
    the centre of a smooth atom do. Four codes beside the affine part suit costs whose arguments are affine in theta;
    so few take larger steps. Both go on improving for twice the usual epochs; with few inputs the squares then gain
    from a finish by L-BFGS.
    """
    found = _conic(n, lifted)
    squares = {"quadratic": ("diagonal", *(1,) * 16), "quadratic_offset": True}
    found[2] = {**found[0], **squares, "training": {"epochs": 400, **({"polish": FINISH} if n <= FEW else {})}}
    found[3] |= {"context_hidden": 4, "training": {"epochs": 400, "learning_rate": 1e-2, "weight_decay": 0.0}}
    found[4] |= {"norm": (3,) * (15 + n // 2), "context_hidden": 16}
    return found


def _smooth(n: int, lifted: bool) -> list[dict[str, Any]]:
    """Return five sets of logistic branches, log-sum-exps, or both; beside norms and squares in the last three.

    The first two have nothing but them and a diagonal quadratic: log-sum-exps with heads that have kinks in theta, as a
    centre that is clipped has; and as many logistic rows as steps approximate a kink in the slope, two pairs per atom.
    So lean, they take large steps, and with few inputs share a finish by L-BFGS; with more inputs the data determine
    them less well, and their weights decay.
    """
    hidden = (16, 16) if lifted else ()
    lean = {"hidden_features": hidden, "norm": (), "quadratic": ("diagonal",), "quadratic_offset": False}
    norms = {"hidden_features": hidden, "norm": (max(5, n // 3),) * 2, "quadratic": ("diagonal",)}
    squares = {"quadratic": ("diagonal", *(1,) * 16), "quadratic_offset": True}
    logistic, blocks = {"logistic": (12,)}, {"logsumexp": (max(4, n // 5),) * 2}
    steps = {"epochs": 400, "learning_rate": 2e-2, "weight_decay": 0.0}
    finish: dict[str, Any] = {"polish": FINISH // 2} if n <= FEW else {"weight_decay": 0.1}
    maxima = {"logsumexp": (max(4, n // 5) + 1,) * 3, "logistic": (8,)}
    return [
        {**lean, **maxima, "context_hidden": 64, "training": {**steps, **finish}},
        {**lean, "logistic": (2 * n + 12,), "context_hidden": 32, **SILU, "training": {**steps, **finish}},
        {**norms, **squares, **logistic, "context_hidden": _wide(n), "training": {"epochs": 400}},
        {**norms, **logistic, **blocks, "context_hidden": 4, "training": {**steps, "epochs": 200}},
        {**norms, **squares, **logistic, **blocks, "context_hidden": 16, "training": {"epochs": 200}},
    ]


def _polyhedral(n: int, lifted: bool) -> list[dict[str, Any]]:
    """Return five sets of units."""
    return [
        {"hidden_features": hidden, "context_hidden": code}
        for hidden, code in (((96,), 8), ((32,), _wide(n)), ((96,), 32), ((32, 32), 32), ((192,), 16))
    ]


def _quadratic(n: int, lifted: bool) -> list[dict[str, Any]]:
    """Return four sets of units beside a diagonal quadratic, and one with full rows below the diagonal."""
    full = {"hidden_features": (64,), "quadratic": (("diagonal", max(4, n // 2)),), "context_hidden": 32}
    return [*_polyhedral(n, lifted)[:3], full, _polyhedral(n, lifted)[-1]]


_SHAPES: dict[str, Callable[[int, bool], list[dict[str, Any]]]] = {
    "relu": _polyhedral,
    "softplus": _polyhedral,
    "quad": _quadratic,
    "norm": _conic,
    "soc": _conic_and_quadratic,
    "smooth": _smooth,
}


def make(name: str, n: int, p: int, seed: int, shape: dict[str, Any]) -> Network:
    """Return a fresh model."""
    generator = torch.Generator().manual_seed(seed)
    if name in BASELINES:
        made: Any = BASELINES[name]
        return made(n, p, generator=generator, **shape)
    return surrogates.make(UNFOCUSED if name in (SMOOTH, FOCUSED) else name, n, p, generator=generator, **shape)


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
        share: share of the epochs, and of the iterations of a finish, to run.
        progress: whether to show a progress bar.

    Raises:
        DivergedError: the loss is no longer finite.
    """
    (fitted,) = train_side_by_side(name, loss, [data], [seed], [configuration], share, progress)
    if fitted.failed:
        raise DivergedError(fitted.failed, [fitted.history])
    return fitted


def train_side_by_side(
    name: str,
    loss: str,
    data: Sequence[Data],
    seeds: Sequence[int],
    configurations: Sequence[Configuration],
    share: float = 1.0,
    progress: bool = False,
) -> list[Fitted]:
    """Train several models as `train` does each of them, to rounding, and in less time where they form one stack.

    One that diverges says so in `failed`, and costs only itself.

    Args:
        name: as in `train`.
        loss: as in `train`.
        data: of each model, of equal shapes.
        seeds: of each model.
        configurations: of each model, all of the same `stack_of`.
        share: as in `train`.
        progress: as in `train`.
    """
    settings = [shortened(configuration["training"], share) for configuration in configurations]
    models = [
        make(name, labelled.x.shape[-1], labelled.context.shape[-1], seed, shaped(configuration["shape"]))
        for labelled, seed, configuration in zip(data, seeds, configurations, strict=True)
    ]
    quiet = {"progress": progress}
    if loss == "seed":
        histories = [
            history
            for model, labelled, own, seed in zip(models, data, settings, seeds, strict=True)
            for history in _histories(fit_as_seed, model, labelled, settings=SeedTraining(**own), seed=seed, **quiet)
        ]
    elif len(models) == 1:
        options = gathered({**settings[0], "loss": loss})
        histories = _histories(decision.fit, models[0], data[0], seed=seeds[0], **quiet, **options)
    else:
        each = {part: [own.get(part, 0) for own in settings] for part in OF_EACH}
        options = gathered({**settings[0], **each, "loss": loss})
        histories = _histories(fit_stacked, models, list(data), seeds=list(seeds), **quiet, **options)
    return [
        Fitted(_finalised(model, labelled), history.epochs, history)
        for model, labelled, history in zip(models, data, histories, strict=True)
    ]


def _histories(fit: Callable[..., Any], *arguments: Any, **settings: Any) -> list[History]:
    """Return the histories of a training, those of models that diverged included."""
    try:
        trained = fit(*arguments, **settings)
    except DivergedError as error:
        return error.histories
    return trained if isinstance(trained, list) else [trained]


def stack_of(configuration: Configuration) -> str:
    """Return what configurations have in common whose models can be trained in one stack."""
    shared = {part: value for part, value in configuration["training"].items() if part not in OF_EACH}
    return json.dumps([configuration["shape"], shared], sort_keys=True)


def shortened(training: dict[str, Any], share: float) -> dict[str, Any]:
    """Return settings of a training for a share of the epochs, and of the iterations of a finish."""
    short = {**training, "epochs": max(1, round(share * training["epochs"]))}
    if training.get("polish"):
        short["polish"] = max(1, round(share * training["polish"]))
    return short


def _finalised(model: Network, data: Data) -> Network:
    """Return a model with plain weights, in float64."""
    theta = data.context.unsqueeze(1).expand(-1, data.x.shape[1], -1)
    return model.finalise((data.x.to(model.dtype), theta.to(model.dtype))).double()


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
