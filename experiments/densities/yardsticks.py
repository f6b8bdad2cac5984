"""Other density estimators: log p of held-out points, settings chosen by the validation rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy import stats

from experiments.densities.components import fit_components
from experiments.densities.data import Split
from socicnn._arrays import Array

COMPONENTS = (2, 5, 10, 20, 40)
BANDWIDTHS = np.geomspace(0.08, 0.8, 8)  # in standard deviations of the whitened data
NSF_STEPS, NSF_BATCH, NSF_PATIENCE = 3000, 256, 5


def gaussian(data: Split, seed: int) -> Array:
    """Return log p of the normal law of full covariance; log-concave."""
    law = stats.multivariate_normal(data.train.mean(axis=0), np.cov(data.train.T))
    return np.asarray(law.logpdf(data.test))


def components(data: Split, seed: int) -> Array:
    """Return log p of independent components, each of a generalised normal law with exponent >= 1; log-concave."""
    from sklearn.decomposition import FastICA

    ica = FastICA(whiten="unit-variance", max_iter=1000, tol=1e-3, random_state=seed)
    sources = ica.fit_transform(data.train)
    test = ica.transform(data.test)
    total = np.full(len(test), np.linalg.slogdet(ica.components_)[1])
    for source, values in zip(sources.T, test.T, strict=True):
        exponent, place, scale = stats.gennorm.fit(source)
        if exponent < 1:  # the best law of exponent 1 is Laplace's
            exponent, (place, scale) = 1.0, stats.laplace.fit(source)
        total += stats.gennorm.logpdf(values, exponent, place, scale)
    return np.asarray(total)


def free_components(data: Split, seed: int) -> Array:
    """Return log p of independent components, each of a log-concave law that bends at quantiles; log-concave."""
    return fit_components(data.train, seed).log_density(data.test)


def mixture(data: Split, seed: int) -> Array:
    """Return log p of a mixture of normal laws of full covariance."""
    from sklearn.mixture import GaussianMixture

    fitted = [GaussianMixture(k, reg_covar=1e-5, random_state=seed).fit(data.train) for k in COMPONENTS]
    best = max(fitted, key=lambda model: float(model.score(data.validation)))
    return np.asarray(best.score_samples(data.test))


def kernel(data: Split, seed: int) -> Array:
    """Return log p of a kernel estimate with a normal kernel, on whitened data."""
    from sklearn.neighbors import KernelDensity

    factor = np.linalg.cholesky(np.cov(data.train.T))
    train, validation, test = (np.linalg.solve(factor, X.T).T for X in (data.train, data.validation, data.test))
    fitted = [KernelDensity(bandwidth=width).fit(train) for width in BANDWIDTHS]
    best = max(fitted, key=lambda model: float(model.score(validation)))
    return np.asarray(best.score_samples(test)) - float(np.log(np.diag(factor)).sum())


def spline_flow(data: Split, seed: int) -> Array:
    """Return log p of zuko's neural spline flow, stopped where the validation rows say so."""
    import zuko

    train, validation, test = (torch.tensor(X, dtype=torch.float32) for X in (data.train, data.validation, data.test))
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        flow = zuko.flows.NSF(train.shape[1], transforms=3, hidden_features=(64, 64))
        optimiser: Any = torch.optim.Adam(flow.parameters(), lr=1e-3)
        best, state, idle = np.inf, flow.state_dict(), 0
        for step in range(NSF_STEPS):
            batch = train[torch.randint(len(train), (NSF_BATCH,))]
            optimiser.zero_grad(set_to_none=True)
            (-flow().log_prob(batch).mean()).backward()
            torch.nn.utils.clip_grad_norm_(flow.parameters(), 5.0)
            optimiser.step()
            if (step + 1) % 100 == 0:
                with torch.no_grad():
                    value = float(-flow().log_prob(validation).mean())
                idle = 0 if value < best else idle + 1
                if value < best:
                    best, state = value, {name: tensor.clone() for name, tensor in flow.state_dict().items()}
                if idle == NSF_PATIENCE:
                    break
        flow.load_state_dict(state)
        with torch.no_grad():
            return np.asarray(flow().log_prob(test).double().numpy())


YARDSTICKS: dict[str, Callable[[Split, int], Array]] = {
    "Gaussian": gaussian,
    "independent components": components,
    "log-concave components": free_components,
    "Gaussian mixture": mixture,
    "kernel": kernel,
    "spline flow": spline_flow,
}
LOG_CONCAVE = ("Gaussian", "independent components", "log-concave components")
