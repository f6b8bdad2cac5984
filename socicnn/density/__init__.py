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
    from socicnn.density.base import Density as Density
    from socicnn.density.bounds import bracket as bracket
    from socicnn.density.clouds import CLOUDS as CLOUDS
    from socicnn.density.clouds import cloud as cloud
    from socicnn.density.energy import Energy as Energy
    from socicnn.density.energy import grid as grid
    from socicnn.density.energy import total_variation as total_variation
    from socicnn.density.estimate import Estimate as Estimate
    from socicnn.density.estimate import UnreliableEstimate as UnreliableEstimate
    from socicnn.density.fitting import Trace as Trace
    from socicnn.density.fitting import fit as fit
    from socicnn.density.flow import PotentialFlow as PotentialFlow
    from socicnn.density.integration import Quadrature as Quadrature
    from socicnn.density.integration import quadrature as quadrature
    from socicnn.density.likelihood import negative_log_likelihood as negative_log_likelihood
    from socicnn.density.modules import ConvexModule as ConvexModule
    from socicnn.density.plots import plot as plot
    from socicnn.density.runs import DensityOptions as DensityOptions
    from socicnn.density.sampling import Importance as Importance
    from socicnn.density.sampling import importance as importance
    from socicnn.density.stacking import fit_stacked as fit_stacked
    from socicnn.density.targets import TARGETS as TARGETS
    from socicnn.density.targets import Law as Law
    from socicnn.density.targets import Target as Target
    from socicnn.density.targets import target as target

__all__ = face(
    __name__,
    {
        "CLOUDS": "socicnn.density.clouds",
        "ConvexModule": "socicnn.density.modules",
        "Density": "socicnn.density.base",
        "DensityOptions": "socicnn.density.runs",
        "Energy": "socicnn.density.energy",
        "Estimate": "socicnn.density.estimate",
        "Importance": "socicnn.density.sampling",
        "Law": "socicnn.density.targets",
        "PotentialFlow": "socicnn.density.flow",
        "Quadrature": "socicnn.density.integration",
        "TARGETS": "socicnn.density.targets",
        "Target": "socicnn.density.targets",
        "UnreliableEstimate": "socicnn.density.estimate",
        "Trace": "socicnn.density.fitting",
        "bracket": "socicnn.density.bounds",
        "cloud": "socicnn.density.clouds",
        "fit": "socicnn.density.fitting",
        "fit_stacked": "socicnn.density.stacking",
        "grid": "socicnn.density.energy",
        "importance": "socicnn.density.sampling",
        "negative_log_likelihood": "socicnn.density.likelihood",
        "plot": "socicnn.density.plots",
        "quadrature": "socicnn.density.integration",
        "target": "socicnn.density.targets",
        "total_variation": "socicnn.density.energy",
    },
)
