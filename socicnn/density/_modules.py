"""Anybody's convex module as the network of a density: the hooks that a density calls, and what can be proved."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, Self, final

import torch
from torch import Tensor, nn

from socicnn._integers import as_integer
from socicnn._ranges import Ranges
from socicnn.errors import ModelError
from socicnn.nn._feedforward import ICNN, SOCICNN
from socicnn.nn._network import Network
from socicnn.positivity._base import Weight, penalty_of, weights_in
from socicnn.positivity._hypernetwork import TAG, HyperNetwork

DECLARED = "twice_differentiable"  # attribute of a module: its author's word
ACTIVATIONS = frozenset({"softplus"})
LEAVES = (nn.Linear, nn.Softplus, nn.Identity, nn.Flatten)
THRESHOLD = 20.0  # torch's softplus turns linear there with a jump of exp(-threshold): 2e-9 by default


@final
class ConvexModule(nn.Module):
    """A torch module that maps x of shape `(*batch, n)` to f(x), with the hooks of a network of `socicnn.nn`.

    That f is convex is the caller's promise. Parameters tagged with `w._pos_required = True` are projected to
    non-negative values after each step; those of a `HyperNetwork` are emitted from the batch. In networks of
    `socicnn.nn` inside the module, recipes act as they do elsewhere.

    Args:
        module: the module, held and not copied; its values have shape `(*batch,)` or `(*batch, 1)`.
        in_features: n; known without it for a `HyperNetwork` and for a `Sequential` that begins with a `Linear`.

    Raises:
        ModelError: not a module, one without floating parameters, or one whose n is not known.

    >>> module = ConvexModule(nn.Sequential(nn.Linear(2, 8), nn.Softplus(), nn.Linear(8, 1)))
    >>> module.input_shape, module(torch.zeros(5, 2)).shape
    ((2,), torch.Size([5]))
    """

    context_shape = None

    def __init__(self, module: nn.Module, in_features: int | None = None) -> None:
        super().__init__()
        if not isinstance(module, nn.Module):
            raise ModelError(
                f"a density takes a network of socicnn.nn or a torch module; received {type(module).__name__}"
            )
        if not any(parameter.is_floating_point() for parameter in module.parameters()):
            raise ModelError(f"the module {type(module).__name__} has no floating parameters to fit")
        self.module = module
        lifted = isinstance(module, HyperNetwork)
        # by name: copies of a parameter, and what stands in for it in a stack, lose the tag
        self.tagged = () if lifted else tuple(n for n, p in module.named_parameters() if getattr(p, TAG, False))
        self.ranges: Ranges | None = None
        self.input_shape = (_features(module, in_features),)
        self._batch: Tensor | None = None

    @property
    def dtype(self) -> torch.dtype:
        """Floating type of the module."""
        return next(parameter.dtype for parameter in self.module.parameters() if parameter.is_floating_point())

    @property
    def device(self) -> torch.device:
        """Where the module's first parameter lives."""
        return next(self.module.parameters()).device

    @property
    def needs_data(self) -> bool:
        """Whether only `finalise(train_data)` gives a module that can be evaluated."""
        return bool(getattr(self.module, "needs_data", False))

    def forward(self, x: Tensor) -> Tensor:
        """Return f(x), shape `(*batch,)`.

        Raises:
            ModelError: x or the module's values have another shape.
        """
        if not x.ndim or x.shape[-1] != self.input_shape[0]:
            raise ModelError(f"x must have shape (*batch, {self.input_shape[0]}); received {tuple(x.shape)}")
        emitted = isinstance(self.module, HyperNetwork) and self._batch is not None
        value = self.module(x, condition=self._batch) if emitted else self.module(x)
        batch = x.shape[:-1]
        if not isinstance(value, Tensor) or value.shape not in (batch, (*batch, 1)):
            shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise ModelError(
                f"{type(self.module).__name__} must give one value per point, shape {tuple(batch)} or "
                f"{(*batch, 1)}; received {shape}"
            )
        return value.reshape(batch)

    def condition(self, x: Tensor, *, whole: bool = False) -> None:
        """Keep the batch that a `HyperNetwork` emits from; nothing to do for other modules."""
        self._batch = x if isinstance(self.module, HyperNetwork) else None

    def penalty(self) -> Tensor:
        """Return what the recipes of networks inside the module add to the loss; zero without any."""
        return penalty_of(self.module).to(dtype=self.dtype, device=self.device)

    @torch.no_grad()
    def after_step(self) -> None:
        """Project the tagged parameters to non-negative values, and let recipes inside the module act."""
        for weight in weights_in(self.module):
            weight.after_step()
        named = dict(self.module.named_parameters())
        for name in self.tagged:
            parameter = named[name]
            parameter.copy_(parameter.clamp(min=0.0))  # clamp_ itself cannot be stacked over models

    def constrained(self) -> Iterator[tuple[str, Weight]]:
        """Yield nothing: no recipe holds the module's weights."""
        return iter(())

    def finalise(self, data: Any = None) -> Self:
        """Return a copy whose tagged parameters, and networks inside it, are plain and exactly non-negative.

        Args:
            data: the training points, a tensor or an array, for a `HyperNetwork`.
        """
        module = self.module
        plain = module.finalise(data) if isinstance(module, HyperNetwork) else copy.deepcopy(module)
        for name in self.tagged:
            setattr(plain.get_parameter(name), TAG, True)
        for parent in list(plain.modules()):
            for name, child in parent.named_children():
                if isinstance(child, Network):
                    setattr(parent, name, child.finalise())
        made = type(self)(plain, self.input_shape[0])
        made.ranges = self.ranges
        made.after_step()
        return made

    def config(self) -> dict[str, Any]:
        """Refuse: a module is code, which no file of ours holds.

        Raises:
            ModelError: always.
        """
        raise ModelError(
            f"a density of a {type(self.module).__name__} cannot be saved, because its code cannot: save the module's "
            "state_dict, or build the density on a network of socicnn.nn"
        )

    def description(self) -> tuple[str, dict[str, torch.Size]]:
        """Return what modules of one architecture share: how they print, and the shapes of their tensors."""
        return repr(self.module), {name: tensor.shape for name, tensor in self.module.state_dict().items()}


def _features(module: nn.Module, in_features: int | None) -> int:
    known: Any = module.input_size if isinstance(module, HyperNetwork) else None
    if isinstance(module, nn.Sequential) and len(module) and isinstance(module[0], nn.Linear):
        known = module[0].in_features
    if in_features is None and known is None:
        raise ModelError(f"the dimension of {type(module).__name__}'s points is not known; give `in_features=n`")
    return as_integer("in_features", known if in_features is None else in_features)


def why_not_smooth(network: nn.Module) -> str | None:
    """Return why a network is not known to be twice differentiable in x, or None if it is.

    A module may declare it: `module.twice_differentiable = True`. Otherwise its structure has to prove it: an `ICNN` or
    a `SOCICNN` with softplus layers, quadratic branches or none, and no norm branches (||C x + d|| has a kink);
    a `Sequential` of linear maps and smooth activations.

    >>> why_not_smooth(ICNN(2, (4,), activation="softplus")) is None
    True
    >>> why_not_smooth(nn.Sequential(nn.Linear(2, 4), nn.ReLU()))
    'ReLU is not among the modules known to be twice differentiable'
    """
    declared = getattr(network, DECLARED, None)
    if declared is not None:
        return None if declared is True else f"{type(network).__name__} declares {DECLARED} = {declared!r}"
    if isinstance(network, ICNN | SOCICNN):  # final classes
        return _dense(network)
    if isinstance(network, ConvexModule):
        return why_not_smooth(network.module)
    if isinstance(network, HyperNetwork):
        return why_not_smooth(network.downstream_network)
    if type(network) is nn.Sequential:
        return next((why for child in network if (why := why_not_smooth(child)) is not None), None)
    if isinstance(network, nn.Softplus) and network.threshold < THRESHOLD:
        return f"Softplus with threshold={network.threshold} jumps there; leave the threshold at 20 or above"
    if type(network) in LEAVES:
        return None
    return f"{type(network).__name__} is not among the modules known to be twice differentiable"


def _dense(network: ICNN | SOCICNN) -> str | None:
    kinked = sorted(set(network.activations) - ACTIVATIONS)
    if kinked:
        return f"its layers have the activation {kinked[0]!r}, which has a kink"
    if network.norms:
        count = len(network.norms)
        return f"it has {count} norm branch{'es' if count > 1 else ''}, with a kink where C x + d = 0"
    return None
