"""Densities given by convex functions: log-concave energies, their log Z, targets and training, one or many seeds.

    targets.target("gumbel")                      a Target: `sample(count, generator)`, `log_density(x)`, `lower`, `upper`
    Energy(network, strong_convexity=0.02)        E(x) = f(x) + 0.5 sc ||x||^2, with the hooks of its network
    Quadrature(lower, upper, points)              nodes and weights; `log_partition(values)`, `error(values)`
    total_variation(energy, target), negative_log_likelihood(energy, quadrature, x)
    fit(energy, target, seed=..., steps=3000, batch=256, learning_rate=1e-3, clip=1.0)
    fit_stacked(energies, target, seeds=..., ...)  the same for many energies of one architecture at once
"""
