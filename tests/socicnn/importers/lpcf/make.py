"""Makes the values of this folder with lpcf itself; it needs nothing of this package.

In an environment of its own, `pip install -r constraints-pcf.txt`, then python make.py. The file `<version>.npz` holds
for each case one vector: the weights (`0`, `1`, ..., lpcf's own list), points `x`, `theta` and values `f`, one
after the other; `layout` names them and has their shapes, `settings` has the arguments of `PCF`, as JSON.
"""

import json
from importlib.metadata import version

import numpy as np
from lpcf.pcf import PCF

CASES = {
    "default": {"widths_psi": [4]},
    "layers": {"widths": [3, 2], "widths_psi": [3]},
    "affine weights": {"widths": [3], "widths_psi": []},
    "triangle": {"widths": [3, 2], "widths_psi": [3], "quadratic": True},
    "low rank": {"widths": [3], "widths_psi": [3, 2], "quadratic": True, "quadratic_r": 2},
    "nonneg": {"widths": [3, 2], "widths_psi": [3], "nonneg": True},
    "nonneg quadratic": {"widths": [3], "widths_psi": [3], "nonneg": True, "quadratic": True},
    "increasing": {"widths": [3, 2], "widths_psi": [3], "increasing": True},
    "decreasing": {"widths": [3, 2], "widths_psi": [3], "decreasing": True},
    "leaky": {"widths": [3, 2], "widths_psi": [3], "activation": "leaky-relu"},
    "logistic": {"widths": [3, 2], "widths_psi": [3], "activation": "logistic"},
    "psi logistic": {"widths": [3, 2], "widths_psi": [3], "activation_psi": "logistic"},
    "psi swish": {"widths": [3, 2], "widths_psi": [3], "activation_psi": "swish"},
    "psi leaky": {"widths": [3, 2], "widths_psi": [3], "activation_psi": "leaky-relu"},
}
N, P = 2, 2


def main():
    """Write the file of the installed version."""
    arrays, layout = {}, {}
    for number, (case, options) in enumerate(CASES.items()):
        rng = np.random.default_rng(number)
        x, theta = rng.normal(size=(40, N)), rng.normal(size=(40, P))
        y = (x**2).sum(axis=1) + x[:, 0] * theta[:, 0] + np.abs(x[:, 1])
        pcf = PCF(**options)
        pcf.fit(y, x, theta, seeds=[number], adam_epochs=20, lbfgs_epochs=20)
        # moved, so that no entry is where the initialisation put it
        weights = [np.asarray(w) + 0.2 * rng.normal(size=np.shape(w)) for w in pcf.model.params]
        pcf.model.params = weights
        x, theta = 2 * rng.normal(size=(6, N)), rng.normal(size=(6, P))
        entries = {str(i): weight for i, weight in enumerate(weights)}
        entries |= {"x": x, "theta": theta, "f": np.asarray(pcf.predict(x, theta)).reshape(-1)}
        layout[case] = {key: values.shape for key, values in entries.items()}
        arrays[case] = np.concatenate([values.reshape(-1) for values in entries.values()])
    texts = {"layout": np.array(json.dumps(layout)), "settings": np.array(json.dumps(CASES))}
    np.savez_compressed(f"{version('lpcf')}.npz", **texts, **arrays)


if __name__ == "__main__":
    main()
