"""Densities given by convex functions: log-concave energies, their log Z, targets and training, one or many seeds.

    target("gumbel")                          a Target: `sample(count, generator)`, `log_density(x)`, `lower`, `upper`
    Energy(network, strong_convexity=0.02)    E(x) = f(x) + sc/2 ||x||^2, with the hooks of its network; `Energy.dense`
    quadrature(lower, upper)                  a Quadrature: `log_partition(energies)`, `error(energies)` at its `nodes`
    importance(points, count)                 the same in any dimension; `effective_sample_size(energies)`
    bracket(energy, lower, upper)             lo <= log Z <= hi in one dimension, whole line
    total_variation(energy, target), negative_log_likelihood(energy, rule, x)
    PotentialFlow(network)                    p from the gradient of a convex network; `log_density`, `sample`
    cloud("eight_gaussians")                  laws in the plane to fit flows to
    plot(density, path, lower, upper)         a figure of a density in one or two dimensions
    fit(model, data, seed=0, steps=3000, batch_size=256, learning_rate=1e-3)       a History
    fit_stacked(models, data, seeds=None, ...)    the same for many models of one architecture at once

Each name is imported when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from socicnn._faces import face

if TYPE_CHECKING:
    from socicnn.density._base import Density as Density
    from socicnn.density._bounds import bracket as bracket
    from socicnn.density._clouds import CLOUDS as CLOUDS
    from socicnn.density._clouds import cloud as cloud
    from socicnn.density._energy import Energy as Energy
    from socicnn.density._energy import grid as grid
    from socicnn.density._energy import total_variation as total_variation
    from socicnn.density._estimate import Estimate as Estimate
    from socicnn.density._estimate import UnreliableEstimate as UnreliableEstimate
    from socicnn.density._fitting import Trace as Trace
    from socicnn.density._fitting import fit as fit
    from socicnn.density._flow import PotentialFlow as PotentialFlow
    from socicnn.density._integration import Quadrature as Quadrature
    from socicnn.density._integration import quadrature as quadrature
    from socicnn.density._likelihood import negative_log_likelihood as negative_log_likelihood
    from socicnn.density._modules import ConvexModule as ConvexModule
    from socicnn.density._plots import plot as plot
    from socicnn.density._runs import DensityOptions as DensityOptions
    from socicnn.density._sampling import Importance as Importance
    from socicnn.density._sampling import importance as importance
    from socicnn.density._stacking import fit_stacked as fit_stacked
    from socicnn.density._targets import TARGETS as TARGETS
    from socicnn.density._targets import Law as Law
    from socicnn.density._targets import Target as Target
    from socicnn.density._targets import target as target

__all__ = face(
    __name__,
    {
        "CLOUDS": "socicnn.density._clouds",
        "ConvexModule": "socicnn.density._modules",
        "Density": "socicnn.density._base",
        "DensityOptions": "socicnn.density._runs",
        "Energy": "socicnn.density._energy",
        "Estimate": "socicnn.density._estimate",
        "Importance": "socicnn.density._sampling",
        "Law": "socicnn.density._targets",
        "PotentialFlow": "socicnn.density._flow",
        "Quadrature": "socicnn.density._integration",
        "TARGETS": "socicnn.density._targets",
        "Target": "socicnn.density._targets",
        "UnreliableEstimate": "socicnn.density._estimate",
        "Trace": "socicnn.density._fitting",
        "bracket": "socicnn.density._bounds",
        "cloud": "socicnn.density._clouds",
        "fit": "socicnn.density._fitting",
        "fit_stacked": "socicnn.density._stacking",
        "grid": "socicnn.density._energy",
        "importance": "socicnn.density._sampling",
        "negative_log_likelihood": "socicnn.density._likelihood",
        "plot": "socicnn.density._plots",
        "quadrature": "socicnn.density._integration",
        "target": "socicnn.density._targets",
        "total_variation": "socicnn.density._energy",
    },
)
