"""The lift: weights emitted from a summary of the batch (Siahkoohi and Thatipelli, "A lift for ICNN training")."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, final

import torch
from torch import Tensor, nn

from socicnn._integers import as_integer, is_integer
from socicnn._registry import choose
from socicnn.errors import ModelError
from socicnn.positivity import RecipeName
from socicnn.positivity import recipe as make_recipe
from socicnn.positivity._base import Recipe, Shared, Weight
from socicnn.positivity._encoder import CONDITIONINGS, SUMMARIES, Conditioning, Encoder, Summary
from socicnn.positivity._readouts import Readout


@final
@dataclass(frozen=True)
class Lift(Recipe):
    """W = psi(b + H code(X)): a slack b, one entry per weight, and a body that reads the batch X.

    code(X) is the normalised mean over the batch of a small network's outputs (`socicnn.positivity._encoder`), shared
    by all weights of one network. H, a linear head per weight, starts at zero, so that training starts at the
    initialiser's own draw. Train with `model.condition(batch)` before each step (`socicnn.training.fit` does);
    `model.finalise(train_data)` emits the weights once from the whole training set and gives the plain network, the
    only one that is evaluated, exported or decided with.

    Args:
        hidden: widths of the encoder.
        conditioning: what the code is computed from: `batch` (the loss batch), `single` (its first point),
            `independent` (points of earlier batches) or `constant` (no data; a control).
        points: how many points of the batch, or of the earlier ones, count; all if None.
        summary: `deepsets` (the encoder) or `moments` ([mean x, mean x^2], neither normalised nor projected; a
            control).
        normalise: whether the code is brought to mean 0 and standard deviation 1 over its features.
        rank: length of the code that the heads read; None for the encoder's last width, without projection.
        slack: whether there is a b (without it H starts such that the weights start as asked; a control).
        readout: psi, a read-out, its short name, or its description {"name": name, setting: value}.

    >>> from socicnn import ICNN
    >>> model, x = ICNN(2, (8, 8), positivity=Lift()), torch.randn(32, 2)
    >>> model.condition(x)
    >>> loss = (model(x) - x.square().sum(dim=1)).square().mean()  # step on this, then evaluate the plain network:
    >>> model.finalise(x).eval()(x).shape
    torch.Size([32])
    """

    hidden: Sequence[int] = (32, 32)
    conditioning: Conditioning = "batch"
    points: int | None = None
    summary: Summary = "deepsets"
    normalise: bool = True
    rank: int | None = 4
    slack: bool = True
    readout: Recipe | RecipeName | Mapping[str, Any] = "softplus"
    name = "lift"

    def __post_init__(self) -> None:
        hidden = tuple(self.hidden)
        if not hidden or any(not is_integer(width) or width < 1 for width in hidden):
            raise ModelError(f"hidden must list widths >= 1, at least one; received {self.hidden!r}")
        for name, value, known in (
            ("conditioning", self.conditioning, CONDITIONINGS),
            ("summary", self.summary, SUMMARIES),
        ):
            choose(name, value, known)
        for name, number in (("points", self.points), ("rank", self.rank)):
            if number is not None:
                object.__setattr__(self, name, as_integer(name, number))
        if isinstance(self.readout, Mapping):  # files of version 0.1 say `given` for the name
            readout = make_recipe(**{"name" if key == "given" else key: value for key, value in self.readout.items()})
        else:
            readout = make_recipe(self.readout)
        if not isinstance(readout, Readout):
            raise ModelError(f"the lift reads out with softplus, relu, exp or square; received '{readout.name}'")
        if not self.slack and (self.summary != "deepsets" or self.rank is None):
            raise ModelError(
                "a lift without slack starts through its code's offset; leave summary and rank as they are"
            )
        if self.conditioning == "constant" and self.summary == "moments":
            raise ModelError(
                "the moments of a constant say nothing; leave summary 'deepsets' or take another conditioning"
            )
        object.__setattr__(self, "hidden", hidden)
        object.__setattr__(self, "readout", readout)

    @property
    def needs_data(self) -> bool:
        """Whether the weights depend on data: unless the conditioning is constant."""
        return self.conditioning != "constant"

    def shared(self, in_features: int, generator: torch.Generator | None = None) -> Encoder:
        """Return the encoder."""
        encoder = Encoder(
            in_features,
            self.hidden,
            conditioning=self.conditioning,
            points=self.points,
            summary=self.summary,
            normalise=self.normalise,
            rank=self.rank,
            generator=generator,
        )
        if not self.slack:
            assert encoder.P is not None
            assert encoder.p is not None
            with torch.no_grad():  # the first feature of the code starts at one, whatever the batch
                encoder.P[0], encoder.p[0] = 0.0, 1.0
        return encoder

    def weight(self, initial: Tensor, shared: Shared | None = None) -> Weight:
        """Hold b = psi^-1(initial), and a head at zero."""
        assert isinstance(self.readout, Readout)
        return self.lifted(initial, shared, self.readout)

    def lifted(self, initial: Tensor, shared: Shared | None, readout: Readout) -> LiftedWeight:
        """Hold a tensor that another readout gives (the identity, for tensors that are not constrained)."""
        if not isinstance(shared, Encoder):
            raise ModelError("the weights of a lift share an encoder: give `shared=recipe.shared(in_features)`")
        raw = readout.inverse(initial.detach().double()).to(initial.dtype)
        return LiftedWeight(raw, shared, readout, self.slack)

    def emit(self, raw: Tensor) -> Tensor:
        """Return psi(raw)."""
        assert isinstance(self.readout, Readout)
        return self.readout.emit(raw)

    def config(self) -> dict[str, object]:
        """Return the settings."""
        assert isinstance(self.readout, Readout)
        settings = {field: value for field, value in asdict(self).items() if field != "readout"}
        return {
            **settings,
            "hidden": list(self.hidden),
            "readout": {"name": self.readout.name, **self.readout.config()},
        }


@final
class LiftedWeight(Weight):
    """psi(b + H code(X)) for the batch that the encoder was given last.

    Args:
        raw: where b starts.
        encoder: the network's encoder.
        readout: psi.
        slack: whether there is a b.
    """

    def __init__(self, raw: Tensor, encoder: Encoder, readout: Readout, slack: bool) -> None:
        super().__init__()
        head = raw.new_zeros((encoder.features, raw.numel()))
        if not slack:
            head[0] = raw.reshape(-1)
        self.shape = raw.shape
        self.b = nn.Parameter(raw) if slack else None
        self.head = nn.Parameter(head)
        self.readout = readout
        # the encoder belongs to the network: as a submodule it would be listed once per weight
        object.__setattr__(self, "encoder", encoder)
        self.encoder: Encoder

    @property
    def raw(self) -> Tensor:
        """What psi reads: b + H code(X)."""
        code = self.encoder.read(self)[None]
        # one operation, whose gradient has the layout of the head
        raw = code @ self.head if self.b is None else torch.addmm(self.b.reshape(1, -1), code, self.head)
        return raw.reshape(self.shape)

    def forward(self) -> Tensor:
        """Return the weight.

        Raises:
            ModelError: there is no batch, or the module is in evaluation mode.
        """
        if not self.training and self.encoder.conditioning != "constant":
            raise ModelError(
                "a lift that is not finalised cannot be evaluated: its weights depend on the batch; use the network "
                "that `finalise(train_data)` returns, or call `train()` to continue training"
            )
        return self.readout.emit(self.raw)

    @torch.no_grad()
    def final(self) -> Tensor:
        """Return the weight that the batch given last emits, detached."""
        return self.readout.emit(self.raw).clone()
