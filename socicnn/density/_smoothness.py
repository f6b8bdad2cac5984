"""Which networks are twice differentiable in x: only those whose structure proves it, or that declare it."""

from __future__ import annotations

from torch import nn

from socicnn.density._modules import ConvexModule
from socicnn.nn._feedforward import ICNN, SOCICNN
from socicnn.positivity._hypernetwork import HyperNetwork

DECLARED = "twice_differentiable"  # attribute of a module: its author's word
ACTIVATIONS = frozenset({"softplus"})
LEAVES = (nn.Linear, nn.Softplus, nn.Identity, nn.Flatten)
THRESHOLD = 20.0  # torch's softplus turns linear there with a jump of exp(-threshold): 2e-9 by default


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
