"""Densities given by convex functions: log-concave energies, their log Z, targets and training, one or many seeds.

target("gumbel")                          a Target: `sample(count, generator)`, `log_density(x)`, `lower`, `upper`
Energy(network, strong_convexity=0.02)    E(x) = f(x) + sc/2 ||x||^2, with the hooks of its network; `Energy.dense`
quadrature(lower, upper)                  a Quadrature: `log_partition(energies)`, `error(energies)` at its `nodes`
importance(points, count)                 the same in any dimension; `effective_sample_size(energies)`
flow_proposal(points, count)              the same by a coupling flow that learns at every step of `fit`
annealed(energy, importance(points))      the same where importance sampling fails: chains from it to the energy
log_partition_bounds(energy, lower, upper)        lo <= log Z <= hi in one dimension, whole line
sample(energy, importance(points, 16))    Chains: draws from exp(-E) / Z, with R-hat and effective sample sizes
total_variation(energy, target), negative_log_likelihood(energy, rule, x)
PotentialFlow(network)                    p from the gradient of a convex network; `log_density`, `sample`
ComposedFlow(blocks)                      several of them, each behind an affine map; `normalise(points)` before `fit`
cloud("eight_gaussians")                  laws in the plane to fit flows to
plot(density, path, lower, upper)         a figure of a density in one or two dimensions
fit(model, data, seed=0, steps=3000, batch_size=256, learning_rate=1e-3)       a History
fit_stacked(models, data, seeds=None, ...)    the same for many models of one architecture at once
"""

from socicnn._faces import face

_MOVED = {"bracket": "socicnn.density:log_partition_bounds"}
__all__ = face(__name__)
