"""What runs inside lpcf's own environment: `python lpcf_worker.py COMMAND GIVEN.npz FOUND.npz`.

It imports nothing of this package, because that environment has no torch; lpcf and JAX are imported when a command
needs them, so that this file can be imported anywhere. Arrays come and go as NumPy archives; the entry `settings` of
what is given is JSON.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

Arrays = dict[str, Any]
LEVEL = 0.1  # weight of the squared error of the means, as in this package's within-context loss


def fit(arrays: Arrays, settings: dict[str, Any]) -> Arrays:
    """Make several fits by lpcf's own `fit`; return the weights `FIT_WEIGHT` and the CPU seconds of each.

    The arrays `FIT_x`, `FIT_theta` and `FIT_y` have one row a labelled point, a context's candidates one after another.
    """
    outputs: Arrays = {}
    for f, asked in enumerate(settings["fits"]):
        x, theta, y = (arrays[f"{f}_{name}"] for name in ("x", "theta", "y"))
        pcf = import_module("lpcf.pcf").PCF(**asked["shape"])
        if asked.get("share_matrices"):
            share_matrices(pcf)
        if asked["within_context"]:
            replace_loss(pcf, asked["candidates"])
        if asked["argmin_penalty"] is not None:
            pcf.argmin(affine(theta, arrays[f"{f}_best"]), asked["argmin_penalty"])
        started = time.process_time()
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            pcf.fit(y, x, theta, seeds=[asked["seed"]], **asked["options"])
        outputs[f"{f}_seconds"] = time.process_time() - started
        outputs.update({f"{f}_{w}": np.asarray(weight) for w, weight in enumerate(pcf.model.params)})
    return outputs


def share_matrices(pcf: Any) -> None:
    """Let lpcf emit its matrices once, where there is one context: its own way emits them anew for every point.

    The function and its optimisation stay lpcf's; a fit takes about a tenth of the time.
    """
    jax, set_up = import_module("jax"), pcf._setup_model
    module: Any = import_module("lpcf.pcf")
    given = module.StaticModel

    @jax.tree_util.register_pytree_node_class
    class Point:
        """A row (x, theta) whose parts lpcf takes by slices."""

        def __init__(self, x: Any, theta: Any) -> None:
            self.parts = (x, theta)

        def __getitem__(self, key: tuple[slice, slice]) -> Any:
            return self.parts[key[1].start is not None]

        def tree_flatten(self) -> tuple[Any, None]:
            return self.parts, None

        @classmethod
        def tree_unflatten(cls, _: None, parts: Any) -> Point:
            return cls(*parts)

    def shared(outputs: int, inputs: int, f: Any) -> Any:
        def at_all(rows: Any, weights: Any) -> Any:
            theta = rows[:1, pcf.n :]
            return jax.vmap(lambda x: f(Point(x[None], theta), weights)[0])(rows[:, : pcf.n])

        return given(outputs, inputs, at_all)

    def set_up_shared(*arguments: Any, **named: Any) -> None:
        module.StaticModel = shared
        try:
            set_up(*arguments, **named)
        finally:
            module.StaticModel = given

    pcf._setup_model = set_up_shared


def replace_loss(pcf: Any, candidates: int) -> None:
    """Let lpcf minimise the within-context error: it works on all points at once, so that contexts stay together."""
    jnp, set_up = import_module("jax.numpy"), pcf._setup_model

    def within_context(f: Any, y: Any) -> Any:
        error = (f - y).reshape(-1, candidates)
        mean = error.mean(axis=1, keepdims=True)
        return jnp.mean((error - mean) ** 2) + LEVEL * jnp.mean(mean**2)

    def set_up_and_replace(*arguments: Any, **named: Any) -> None:
        set_up(*arguments, **named)
        declare = pcf.model.loss
        pcf.model.loss = lambda **options: declare(**{**options, "output_loss": within_context})

    pcf._setup_model = set_up_and_replace


def affine(theta: Any, best: Any) -> Callable[[Any], Any]:
    """Return the least-squares fit theta -> x of the best candidates, for lpcf's condition on the minimiser."""
    jnp = import_module("jax.numpy")
    coefficients = np.linalg.lstsq(np.hstack([theta, np.ones((len(theta), 1))]), best, rcond=None)[0]
    weight, bias = jnp.asarray(coefficients[:-1]), jnp.asarray(coefficients[-1])
    return lambda point: point @ weight + bias


def restored(arrays: Arrays, settings: dict[str, Any]) -> Any:
    """Return the PCF of given weights. lpcf lays its networks out while fitting, so it takes a step on two points."""
    pcf = import_module("lpcf.pcf").PCF(**settings["shape"])
    n, p = settings["features"], settings["context_features"]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        pcf.fit(np.zeros(2), np.zeros((2, n)), np.zeros((2, p)), seeds=[0], adam_epochs=1, lbfgs_epochs=1)
    pcf.model.params = [arrays[f"weight{w}"] for w in range(len(pcf.model.params))]
    return pcf


class Exported:
    """min_x f(x, theta) over G x = h, H x <= k, as lpcf exports f to CVXPY; x and theta are standardised outside it."""

    def __init__(self, arrays: Arrays, settings: dict[str, Any]) -> None:
        import cvxpy as cp

        self.arrays, self.solver, self.pcf = arrays, settings["solver"], restored(arrays, settings)
        self.x = cp.Variable((settings["features"], 1))  # lpcf's offsets are columns, so that x and theta must be too
        self.theta = cp.Parameter((settings["context_features"], 1))
        scaled = cp.multiply(1.0 / arrays["x_scale"][:, None], self.x - arrays["x_mean"][:, None])
        self.value = self.pcf.tocvxpy(scaled, self.theta)
        constraints = []
        if "G" in arrays and len(arrays["G"]):
            constraints.append(arrays["G"] @ self.x == arrays["h"][:, None])
        if "H" in arrays and len(arrays["H"]):
            constraints.append(arrays["H"] @ self.x <= arrays["k"][:, None])
        self.problem = cp.Problem(cp.Minimize(self.value[0, 0]), constraints)

    def at(self, context: Any) -> None:
        """Set the context."""
        self.theta.value = ((context - self.arrays["theta_mean"]) / self.arrays["theta_scale"])[:, None]

    def decide(self, context: Any) -> Any:
        """Return x."""
        self.at(context)
        self.problem.solve(solver="CLARABEL", ignore_dpp=True, **self.solver)
        return self.x.value[:, 0]


def evaluate(arrays: Arrays, settings: dict[str, Any]) -> Arrays:
    """Return f at rows of x and theta, by lpcf's `predict` and by the value of its export."""
    exported, scaled = Exported(arrays, settings), (arrays["x"] - arrays["x_mean"]) / arrays["x_scale"]
    theta = (arrays["theta"] - arrays["theta_mean"]) / arrays["theta_scale"]
    values = []
    for point, context in zip(arrays["x"], arrays["theta"], strict=True):
        exported.at(context)
        exported.x.value = point[:, None]
        values.append(float(exported.value.value[0, 0]))
    predicted = np.asarray(exported.pcf.predict(scaled, theta))[:, 0]
    return {"predicted": predicted, "exported": np.array(values)}


def decide(arrays: Arrays, settings: dict[str, Any]) -> Arrays:
    """Return the decision of each context, and the CPU seconds of all of them."""
    exported, started = Exported(arrays, settings), time.process_time()
    x = np.array([exported.decide(context) for context in arrays["theta"]])
    return {"x": x, "cpu": time.process_time() - started}


def measure(arrays: Arrays, settings: dict[str, Any]) -> Arrays:
    """Return median CPU seconds of f, of f with its gradient in the weights, and of decisions, a batch size a row."""
    jax, exported = import_module("jax"), Exported(arrays, settings)
    pcf = exported.pcf
    forward = jax.jit(pcf.model.output_fcn)
    backward = jax.jit(jax.value_and_grad(lambda weights, point: pcf.model.output_fcn(point, weights).sum()))

    def ways(size: int) -> tuple[Callable[[], Any], ...]:
        point = np.hstack([arrays["x"][:size], arrays["theta"][:size]])
        return (
            lambda: jax.block_until_ready(forward(point, pcf.model.params)),
            lambda: jax.block_until_ready(backward(pcf.model.params, point)),
            lambda: [exported.decide(context) for context in arrays["theta"][:size]],
        )

    seconds = [[median(way, settings["repeat"]) for way in ways(size)] for size in settings["batches"]]
    return {"seconds": np.array(seconds)}


def median(way: Callable[[], Any], repeat: int) -> float:
    """Return the median CPU seconds of some calls after a first one."""
    way()
    times = []
    for _ in range(repeat):
        started = time.process_time()
        way()
        times.append(time.process_time() - started)
    return float(np.median(times))


COMMANDS = {command.__name__: command for command in (fit, evaluate, decide, measure)}


def main(command: str, source: str, target: str) -> None:
    """Run a command on a file of arrays."""
    with np.load(source) as file:
        arrays = dict(file)
    settings = json.loads(str(arrays.pop("settings")))
    np.savez(target, **COMMANDS[command](arrays, settings))


if __name__ == "__main__":
    main(*sys.argv[1:])
