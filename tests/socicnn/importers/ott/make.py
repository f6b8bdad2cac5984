"""Makes the values of this folder with ott-jax itself; it needs nothing of this package.

For each version, in an environment of its own: pip install "ott-jax[neural]==0.6.0", then python make.py. The file
`<version>.npz` holds, for each case, one vector: the parameters (`layer/name`), points `x` and values `f`, one after
the other; `layout` names them and has their shapes, as JSON.
"""

import json
from importlib.metadata import version

import jax
import jax.numpy as jnp
import numpy as np
from ott.neural.networks.icnn import ICNN

CASES = {
    "default": {"dim_data": 3, "dim_hidden": [4, 3]},
    "one layer": {"dim_data": 2, "dim_hidden": [4]},
    "three layers": {"dim_data": 2, "dim_hidden": [3, 2, 3], "ranks": 2},
    "rank zero": {"dim_data": 3, "dim_hidden": [4, 3], "ranks": 0},
    "ranks a sequence": {"dim_data": 3, "dim_hidden": [4, 3], "ranks": (2, 1, 0, 3)},
    "gaussian": {"dim_data": 3, "dim_hidden": [4, 3], "gaussian_map_samples": True},
    "pos_weights relu": {"dim_data": 3, "dim_hidden": [4, 3], "pos_weights": True},
    "pos_weights softplus": {"dim_data": 3, "dim_hidden": [4, 3], "pos_weights": True, "rectifier_fn": jax.nn.softplus},
    "act softplus": {"dim_data": 3, "dim_hidden": [4, 3], "act_fn": jax.nn.softplus},
    "fresh": {"dim_data": 2, "dim_hidden": [4]},
}


def perturbed(params, rng, options):
    """Return the parameters moved by 0.3 N(0, 1); free hidden kernels are made non-negative."""
    found = {}
    for layer, entries in params.items():
        for name, values in entries.items():
            values = np.asarray(values, np.float32)
            if options is not CASES["fresh"]:
                values = values + np.float32(0.3) * rng.normal(size=values.shape).astype(np.float32)
            if name == "kernel" and not options.get("pos_weights"):
                values = np.abs(values)
            found[f"{layer}/{name}"] = values
    return found


def main():
    """Write the file of the installed version."""
    arrays, layout = {}, {}
    for number, (case, options) in enumerate(CASES.items()):
        rng = np.random.default_rng(number)
        n = options["dim_data"]
        settings = dict(options)
        if "gaussian_map_samples" in settings:
            samples = rng.normal(size=(2, 50, n)).astype(np.float32)
            settings["gaussian_map_samples"] = (jnp.asarray(samples[0]), jnp.asarray(1.5 * samples[1] + 1.0))
        model = ICNN(**settings)
        params = perturbed(model.init(jax.random.PRNGKey(number), jnp.ones(n))["params"], rng, options)
        nested = {}
        for key, values in params.items():
            layer, name = key.split("/")
            nested.setdefault(layer, {})[name] = jnp.asarray(values)
        x = np.concatenate([np.ones((1, n)), 2 * rng.normal(size=(5, n))]).astype(np.float32)
        f = [np.asarray(model.apply({"params": nested}, jnp.asarray(point))).reshape(()) for point in x]
        entries = {**params, "x": x, "f": np.array(f)}
        layout[case] = {key: values.shape for key, values in entries.items()}
        arrays[case] = np.concatenate([values.reshape(-1) for values in entries.values()])
    np.savez_compressed(f"{version('ott-jax')}.npz", layout=np.array(json.dumps(layout)), **arrays)


if __name__ == "__main__":
    main()
