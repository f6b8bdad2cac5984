"""What the lift reads of a batch: the normalised mean of a small network's outputs, or moments (a control)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias, final, get_args

import torch
from torch import Tensor, nn

from socicnn._arrays import as_float64
from socicnn.errors import ModelError
from socicnn.positivity._base import Shared, is_batched

Conditioning: TypeAlias = Literal["batch", "constant", "independent", "single"]
Summary: TypeAlias = Literal["deepsets", "moments"]
CONDITIONINGS = get_args(Conditioning)
SUMMARIES = get_args(Summary)
EPSILON = 1e-5  # keeps the normalisation finite where all features agree
CHUNK = 65536  # points encoded at once


@final
class Encoder(Shared):
    """Compute the code of a batch: code(X) = P n(mean_i h1(x_i)) + p, n(z) = (z - mean z) / (std z + 1e-5).

    h1 has ReLU after every layer. Start: weights and biases of h1 uniform on +-1/sqrt(fan-in), P ~ N(0, 1/width),
    p = 0. For `moments` the code is [mean x, mean x^2] itself.

    Args:
        in_features: length of one point.
        hidden: widths of h1, the last of them the width of the code before P.
        conditioning: see `Lift`.
        points: see `Lift`.
        summary: `deepsets` or `moments`.
        normalise: whether to apply n.
        rank: length of the code; None leaves P and p out.
        generator: source of the initial values; defaults to torch's own.
    """

    def __init__(
        self,
        in_features: int,
        hidden: Sequence[int],
        *,
        conditioning: Conditioning = "batch",
        points: int | None = None,
        summary: Summary = "deepsets",
        normalise: bool = True,
        rank: int | None = 8,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.in_features, self.conditioning, self.count = in_features, conditioning, points
        self.summary, self.normalise = summary, normalise
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        self.P: nn.Parameter | None = None
        self.p: nn.Parameter | None = None
        self.features = 2 * in_features
        if summary == "deepsets":
            for rows, columns in zip(hidden, (in_features, *hidden), strict=False):
                self.weights.append(nn.Parameter(_uniform((rows, columns), columns, generator)))
                self.biases.append(nn.Parameter(_uniform((rows,), columns, generator)))
            self.features = hidden[-1] if rank is None else rank
            if rank is not None:
                draw = torch.randn((rank, hidden[-1]), generator=generator, dtype=torch.float64, device="cpu")
                self.P = nn.Parameter(draw / hidden[-1] ** 0.5)
                self.p = nn.Parameter(torch.zeros(rank, dtype=torch.float64))
        self._points: Tensor | None = None
        self.earlier: Tensor | None = None  # points of the steps before: a checkpoint keeps them
        self._code: Tensor | None = None
        self._key: Any = None
        self._readers: set[int] = set()

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without the batch: a copy must be conditioned again."""
        return {**self.__dict__, "_points": None, "earlier": None, "_code": None, "_key": None, "_readers": set()}

    def condition(self, points: Tensor, *, whole: bool = False) -> None:
        """Take the batch that the weights are emitted from, until the next call.

        Args:
            points: shape `(count, in_features)`.
            whole: whether these are the whole training set, all of which then counts.

        Raises:
            ModelError: no points, or points of another length.
        """
        if points.ndim != 2 or points.shape[1] != self.in_features:
            raise ModelError(
                f"the conditioning batch must have shape (count, {self.in_features}); received {tuple(points.shape)}"
            )
        if not len(points):
            raise ModelError("the conditioning batch is empty; give at least one point")
        points = points.detach()
        self._points, self._code = (points if whole else self._chosen(points)), None

    def _chosen(self, points: Tensor) -> Tensor:
        if self.conditioning == "single":
            return points[:1]
        wanted = self.count or len(points)
        if self.conditioning == "independent":
            # what went before is independent of this batch, and no generator is needed to draw it
            if is_batched(points):
                raise ModelError(
                    "a lift on independent batches keeps points between steps and cannot be stacked; use conditioning "
                    "'batch' and condition each network on another batch than the loss's"
                )
            earlier = self.earlier
            self.earlier = (points if earlier is None else torch.cat([points, earlier]))[:wanted]
            return points[:wanted] if earlier is None else earlier
        if wanted >= len(points):
            return points
        return points[torch.arange(wanted, device=points.device) * len(points) // wanted]  # spread over the batch

    def read(self, reader: object) -> Tensor:
        """Return the code for one weight, computed once for all weights of a forward pass.

        A weight that reads a second time begins another pass, and so does a changed parameter: the code is computed
        again, so that each pass has a graph of its own.

        Raises:
            ModelError: there is no batch.
        """
        key = (torch.is_grad_enabled(), *(tensor._version for tensor in self._tensors()))
        if self._code is None or key != self._key or id(reader) in self._readers:
            self._code, self._key, self._readers = self(), key, set()
        self._readers.add(id(reader))
        return self._code

    def forward(self) -> Tensor:
        """Return the code of the batch taken last, shape `(features,)`."""
        if self.conditioning == "constant":
            points = next(self.parameters()).new_ones((1, self.in_features))
        elif self._points is None:
            raise ModelError(
                "the lift emits weights from a batch, and was given none: call `model.condition(batch)` before each "
                "training step, or use what `model.finalise(train_data)` returns"
            )
        else:
            points = self._points
        if len(points) <= CHUNK:
            code = self._encoded(points).mean(dim=0)
        else:
            code = torch.stack([self._encoded(part).sum(dim=0) for part in points.split(CHUNK)]).sum(dim=0)
            code = code / len(points)
        if self.summary == "moments":
            return code
        if self.normalise:
            deviation, mean = torch.std_mean(code, correction=0)
            code = (code - mean) / (deviation + EPSILON)
        return code if self.P is None else nn.functional.linear(code, self.P, self.p)

    def _tensors(self) -> list[Tensor]:
        """Return all parameters, without the walk through submodules that `parameters()` takes at every reading."""
        held = (*self._parameters.values(), *self.weights._parameters.values(), *self.biases._parameters.values())
        return [tensor for tensor in held if tensor is not None]

    def _encoded(self, points: Tensor) -> Tensor:
        if self.summary == "moments":
            return torch.cat([points, points.square()], dim=-1)
        for weight, bias in zip(self.weights, self.biases, strict=True):
            points = torch.relu(nn.functional.linear(points, weight, bias))
        return points


def training_points(values: Any, name: str, like: Tensor) -> Tensor:
    """Return what a user gives as training data in the type and at the place of a tensor.

    Args:
        values: a tensor, or what NumPy reads as an array of numbers: arrays, lists, data frames.
        name: of the argument, for messages.
        like: the tensor.

    Raises:
        ModelError: no real numbers, or entries that are not finite in that type.
    """
    points = torch.tensor(as_float64(values, name)).to(like)
    bad = int((~torch.isfinite(points)).sum())
    if bad:
        kind = str(points.dtype).removeprefix("torch.")
        raise ModelError(f"{name} has {bad} non-finite entries in {kind}; remove or replace them")
    return points


def _uniform(shape: tuple[int, ...], fan_in: int, generator: torch.Generator | None) -> Tensor:
    draw = torch.rand(shape, generator=generator, dtype=torch.float64, device="cpu")
    return (2 * draw - 1) / fan_in**0.5
