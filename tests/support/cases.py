"""Networks that many tests share, each with points (and contexts) that fit it, and what a witness must satisfy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from socicnn._compile import Compiled
from socicnn.conic._program import ValueProgram
from socicnn.nn import ICKAN, ICNN, SOCICNN, AveragePool, Conv, ConvSOCICNN, Network, RecurrentSOCICNN


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@dataclass(frozen=True)
class Case:
    """A way to make a network; `make(recipe settings...)` passes keywords on to its constructor."""

    name: str
    make: Callable[..., Network]

    def model(self, seed: int = 0, dtype: torch.dtype = torch.float64, **settings) -> Network:
        """A network at its random start, its zero biases and offsets moved off zero and its units standardised."""
        draw = generator(seed)
        model = self.make(generator=draw, dtype=dtype, **settings)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if name.split(".")[-1][0] in "bedos" and ".free." in name:
                    parameter.add_(0.3 * torch.randn(parameter.shape, generator=draw, dtype=torch.float64).to(dtype))
        return model

    def points(self, model: Network, count: int, seed: int = 1, scale: float = 1.0) -> Tensor:
        x = torch.randn(count, *model.input_shape, generator=generator(seed), dtype=torch.float64)
        return (scale * x).to(model.dtype)

    def contexts(self, model: Network, count: int, seed: int = 2) -> Tensor | None:
        if model.context_shape is None:
            return None
        return torch.randn(count, *model.context_shape, generator=generator(seed), dtype=torch.float64).to(model.dtype)


def _case(name: str, kind: type[Network], *arguments, **settings) -> Case:
    return Case(name, lambda **more: kind(*arguments, **{**settings, **more}))


DENSE = [
    _case("icnn", ICNN, 3, (7, 5)),
    _case("soc", SOCICNN, 4, (6, 5, 4), (3, 4), (4, 2)),
    _case("affine", ICNN, 3, ()),
    _case("monotone", SOCICNN, 4, (6, 5), (3, "diagonal"), (2,), monotone=(0, 1, -1, 0)),
    _case("no-hidden-layer", SOCICNN, 3, (), (2,), (2,)),
    _case("one-unit", SOCICNN, 1, (1,), (1,), (1,)),
    _case("one-unit-deep", SOCICNN, 2, (1, 1, 1), (), (1,)),
    _case("no-passthrough", SOCICNN, 3, (8, 6), (2,), (2,), passthrough=False, initialiser="folded"),
    _case("quadratic-only", SOCICNN, 3, (4,), (3,), (), quadratic_offset=False),
    _case("norm-only", SOCICNN, 3, (4,), (), (3, 1)),
    _case("structured", SOCICNN, 4, (5,), ("diagonal", ("diagonal", 2), 3), ("diagonal", ("diagonal", 1))),
    _case("joint", SOCICNN, 3, (6, 5), (3, "diagonal"), (3,), context_features=2, context="joint"),
    _case(
        "joint-no-passthrough",
        SOCICNN,
        3,
        (6, 5),
        context_features=2,
        context="joint",
        passthrough=False,
        initialiser="folded",
    ),
    _case("partial", SOCICNN, 3, (6, 5), (3, ("diagonal", 1)), (3, 2), context_features=2),
    _case("partial-no-hidden-layer", SOCICNN, 2, (), (2,), (), context_features=3, quadratic_offset=False),
    _case("partial-icnn-softplus-weights", ICNN, 3, (5, 5), context_features=1, positivity="softplus"),
    _case("softplus-units", SOCICNN, 3, (6, 5), (2,), (2,), activation="softplus"),
    _case("smooth-branches", SOCICNN, 3, (6, 5), (2,), (2,), logsumexp=(4, "diagonal"), logistic=(("diagonal", 2), 3)),
    _case(
        "smooth-joint",
        SOCICNN,
        3,
        (6,),
        (),
        (2,),
        logsumexp=(4,),
        logistic=(2,),
        context_features=2,
        context="joint",
    ),
    _case("smooth-partial", SOCICNN, 3, (), (2,), (), logsumexp=(4, 2), logistic=(2, 3), context_features=2),
    _case("last-layer-softplus", ICNN, 3, (6, 5), context_features=2, activation=("relu", "softplus")),
]

PAIRS = Conv(4, 3, group=2)

CONVOLUTIONAL = [
    _case("conv-2d", ConvSOCICNN, (2, 5, 4), (3, 2), (Conv(3, 3),), (PAIRS,)),
    _case("conv-1d", ConvSOCICNN, (2, 7), (3, Conv(2, 5)), (Conv(3, 3), 2), (PAIRS, Conv(3, 5))),
    _case("conv-one-pixel", ConvSOCICNN, (1, 1), (1,), (1,), (Conv(1, 1, group=1),)),
    _case("conv-no-hidden-layer", ConvSOCICNN, (1, 4, 4), (), (2,), (PAIRS,), quadratic_offset=False),
    _case(
        "conv-strides-and-pools",
        ConvSOCICNN,
        (1, 8, 6),
        (AveragePool(2, 1), Conv(3, 3, stride=2), Conv(2, 2, padding=0), AveragePool(2, 1, 1)),
        (Conv(2, 3, stride=2),),
        (Conv(2, 3, dilation=2, group=1),),
    ),
    _case(
        "conv-transposed",
        ConvSOCICNN,
        (1, 4, 3),
        (Conv(2, 3, stride=2), Conv(2, 4, stride=2, transposed=True), AveragePool(3, 2, 1)),
        (Conv(1, 3, stride=2, transposed=True),),
        (),
    ),
    _case("conv-no-passthrough", ConvSOCICNN, (2, 5), (4, 3), (), (PAIRS,), passthrough=False, initialiser="folded"),
    _case("conv-joint-vector", ConvSOCICNN, (1, 4, 4), (3, 2), (2,), (PAIRS,), context_features=3, context="joint"),
    _case("conv-partial-vector", ConvSOCICNN, (1, 4, 4), (3, 2), (2,), (PAIRS,), context_features=3),
    _case(
        "conv-joint-image",
        ConvSOCICNN,
        (1, 6, 4),
        (3, AveragePool(2), Conv(2, 3)),
        (Conv(2, 3, stride=2),),
        (PAIRS,),
        context_channels=2,
        context="joint",
    ),
    _case(
        "conv-partial-image",
        ConvSOCICNN,
        (1, 6, 4),
        (3, AveragePool(2), Conv(2, 3)),
        (Conv(2, 3, stride=2),),
        (PAIRS,),
        context_channels=2,
    ),
    _case(
        "conv-smooth",
        ConvSOCICNN,
        (2, 4, 3),
        (3,),
        (),
        (PAIRS,),
        logsumexp=(PAIRS, 2),
        logistic=(Conv(2, 3, stride=2),),
    ),
    _case(
        "conv-smooth-joint-image",
        ConvSOCICNN,
        (1, 4, 4),
        (2,),
        (2,),
        (),
        logsumexp=(Conv(4, 3, group=2),),
        logistic=(3,),
        context_channels=2,
        context="joint",
    ),
    _case(
        "conv-smooth-partial-image",
        ConvSOCICNN,
        (1, 4, 4),
        (),
        (),
        (),
        logsumexp=(2, PAIRS),
        logistic=(3, 1),
        context_channels=2,
    ),
    _case(
        "conv-smooth-partial-vector",
        ConvSOCICNN,
        (2, 5),
        (2,),
        (),
        (),
        logsumexp=(2,),
        logistic=(2,),
        context_features=2,
    ),
    _case("conv-softplus-units", ConvSOCICNN, (1, 4), (3, 2), activation="softplus"),
    _case(
        "conv-per-position",
        ConvSOCICNN,
        (1, 3, 2),
        (2,),
        (Conv(2, 3, per_position=True), 1, Conv(1, 1, per_position=True)),
        (PAIRS, Conv(4, 2, group=2, per_position=True)),
        context_channels=1,
    ),
]

MIXED = (Conv(2, 3), 2, "diagonal"), (Conv(4, 3, group=2), ("diagonal", 1), Conv(2, 2))

RECURRENT = [
    _case(
        "recurrent-per-position",
        RecurrentSOCICNN,
        (3, 2),
        2,
        (2, Conv(2, 3, padding=0, per_position=True)),
        (Conv(3, 2, group=3, per_position=True),),
        context="joint",
        context_channels=1,
    ),
    _case("recurrent", RecurrentSOCICNN, (5, 2), 4, *MIXED),
    _case("recurrent-varying", RecurrentSOCICNN, (5, 2), 4, *MIXED, shared=False),
    _case("recurrent-one-step", RecurrentSOCICNN, (1, 2), 3, (2,), ()),
    _case("recurrent-two-steps-varying", RecurrentSOCICNN, (2, 1), 1, (), (1,), shared=False),
    _case("recurrent-joint-vector", RecurrentSOCICNN, (4, 2), 3, *MIXED, context_features=2, context="joint"),
    _case(
        "recurrent-joint-vector-varying",
        RecurrentSOCICNN,
        (4, 2),
        3,
        *MIXED,
        context_features=2,
        context="joint",
        shared=False,
    ),
    _case("recurrent-partial-vector", RecurrentSOCICNN, (4, 2), 3, *MIXED, context_features=2, quadratic_offset=False),
    _case("recurrent-partial-vector-varying", RecurrentSOCICNN, (4, 2), 3, *MIXED, context_features=2, shared=False),
    _case("recurrent-joint-sequence", RecurrentSOCICNN, (4, 2), 3, *MIXED, context_channels=3, context="joint"),
    _case("recurrent-partial-sequence", RecurrentSOCICNN, (4, 2), 3, *MIXED, context_channels=3),
    _case("recurrent-smooth", RecurrentSOCICNN, (4, 2), 3, *MIXED, logsumexp=MIXED[1], logistic=MIXED[0]),
    _case(
        "recurrent-smooth-joint-sequence",
        RecurrentSOCICNN,
        (4, 2),
        3,
        (),
        (),
        logsumexp=MIXED[1],
        logistic=MIXED[0],
        context_channels=3,
        context="joint",
    ),
    _case(
        "recurrent-smooth-partial-sequence",
        RecurrentSOCICNN,
        (4, 2),
        3,
        (2,),
        (),
        logsumexp=MIXED[1],
        logistic=MIXED[0],
        context_channels=3,
    ),
    _case(
        "recurrent-smooth-vector",
        RecurrentSOCICNN,
        (3, 2),
        2,
        (),
        (),
        logsumexp=(3,),
        logistic=(2,),
        context_features=2,
    ),
    _case("recurrent-softplus-units", RecurrentSOCICNN, (3, 1), 2, activation="softplus"),
]

KOLMOGOROV_ARNOLD = [
    _case("ickan", ICKAN, 3, (4,), segments=5),
    _case("ickan-deep", ICKAN, 3, (4, 3, 2), segments=3, domain=(-1.0, 1.5)),
    _case("ickan-joint", ICKAN, 3, (3, 2), segments=3, context_features=2, context="joint"),
    _case("ickan-partial", ICKAN, 3, (3, 2, 2), segments=3, context_features=2),
    _case("ickan-partial-additive", ICKAN, 2, (3,), segments=4, context_features=1, positivity="softplus"),
    _case("ickan-softplus-weights", ICKAN, 2, (3, 1), segments=2, positivity="softplus"),
]

CASES = {case.name: case for case in [*DENSE, *CONVOLUTIONAL, *RECURRENT, *KOLMOGOROV_ARNOLD]}


def witness_errors(compiled: Compiled, x: np.ndarray, forward: np.ndarray) -> dict[str, float]:
    """Worst scaled error of the witness: in the cone, stationary, and of the forward value on both sides.

    Written out anew, row by row and point by point, so that it shares nothing with what made the witness.
    """
    worst = dict.fromkeys(("primal", "dual", "stationarity", "primal value", "dual value"), 0.0)
    witness = compiled.witness(x)
    for i, point in enumerate(x):
        program = compiled.program.take(i)
        program = program.rescaled(witness.k[i])
        v, y = witness.v[i], witness.y[i]
        right = program.b + program.B @ point
        s = right - program.A @ v
        size = 1 + abs(program.A) @ np.abs(v) + abs(program.B) @ np.abs(point) + np.abs(program.b)
        column = 1 + abs(program.A.T) @ np.abs(y) + np.abs(program.q)
        worst["primal"] = max(worst["primal"], _outside(s, program, size, dual=False))
        worst["dual"] = max(worst["dual"], _outside(y, program, 1 + np.abs(y), dual=True))
        worst["stationarity"] = max(
            worst["stationarity"], float(np.max(abs(program.A.T @ y + program.q) / column, initial=0))
        )
        affine = program.d @ point + program.r
        total = 1 + np.abs(program.q) @ np.abs(v) + np.abs(right) @ np.abs(y) + abs(affine) + abs(forward[i])
        worst["primal value"] = max(worst["primal value"], abs(program.q @ v + affine - forward[i]) / total)
        worst["dual value"] = max(worst["dual value"], abs(-right @ y + affine - forward[i]) / total)
    return worst


def _outside(s: np.ndarray, program: ValueProgram, size: np.ndarray, *, dual: bool) -> float:
    cones = program.cones
    at = cones.zero + cones.nonnegative
    errors = list(np.abs(s[: cones.zero]) / size[: cones.zero]) + list(-s[cones.zero : at] / size[cones.zero : at])
    for k in cones.second_order:
        errors.append((np.linalg.norm(s[at + 1 : at + k]) - s[at]) / size[at : at + k].max())
        at += k
    for place in range(at, len(s), 3):
        x, y, z = s[place : place + 3].tolist()
        if dual and x:
            x, y = x - y, -x  # (u, v, w) is in the dual cone where (u - v, -u, w) is in the cone
        deep = y > 0 and x / y < -700
        excess = -z if deep or (dual and not x) else y * np.exp(x / y) - z
        errors.append(excess / (size[place : place + 3].max() * (1 + abs(x / y if y else 0.0) * dual)))
    return float(max([0.0, *errors]))
