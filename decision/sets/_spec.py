"""Sets from a JSON file: {"set": "polytope", "A": ..., "b": ...}, checked key by key.

| set | keys (those in brackets may be left out) |
|---|---|
| simplex | [n] |
| box | [n], [lower], [upper] |
| budget | [n], total, [equality] |
| polytope | [A, b], [E, f], [lower], [upper], [n] |
| ball | [n], [radius], [centre], [norm] |
| ellipsoid | B, [centre], [radius] |
| product, intersection | sets: a list of sets |
| horizon | step: a set, or a list of sets; [steps], [link: {P, Q, r}], [first: {E, f}], [last: {E, f}], [inputs] |
| storage | steps, capacity, power, initial, [final], [efficiency], [inputs] |

Where a number may move with the context it is a table of one row per context, or {"bias": ..., "weight": ...}. `null`
in `lower` or `upper` is no bound. n defaults to the network's number of inputs.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from decision.sets._ball import Ball
from decision.sets._base import FeasibleSet
from decision.sets._box import Box
from decision.sets._budget import Budget
from decision.sets._combined import Intersection, Product
from decision.sets._conic_set import ConicSet
from decision.sets._ellipsoid import Ellipsoid
from decision.sets._horizon import Horizon
from decision.sets._moving import Affine
from decision.sets._polytope import Polytope
from decision.sets._simplex import Simplex
from socicnn._files import FileError
from socicnn._registry import choose
from socicnn.errors import ProgramError

SIZED = {"simplex", "box", "budget", "polytope", "ball"}  # of these n may be left out
KINDS: dict[str, tuple[Callable[..., Any], set[str], set[str]]] = {  # maker, keys that must be there, that may be
    "simplex": (Simplex, set(), {"n"}),
    "box": (Box, set(), {"n", "lower", "upper"}),
    "budget": (Budget, {"total"}, {"n", "equality"}),
    "polytope": (Polytope, set(), {"n", "A", "b", "E", "f", "lower", "upper"}),
    "ball": (Ball, set(), {"n", "radius", "centre", "norm"}),
    "ellipsoid": (Ellipsoid, {"B"}, {"centre", "radius"}),
    "product": (Product, {"sets"}, set()),
    "intersection": (Intersection, {"sets"}, set()),
    "horizon": (Horizon, {"step"}, {"steps", "link", "first", "last", "inputs"}),
    "storage": (Horizon.storage, {"steps", "capacity", "power", "initial"}, {"final", "efficiency", "inputs"}),
}
MATRICES = {"A", "E", "B", "P", "Q"}
PLAIN = {"n", "steps", "total", "equality", "norm", "efficiency", "inputs"}
GROUPS = {"link": ("P", "Q", "r"), "first": ("E", "f"), "last": ("E", "f")}


def read_set(path: str | Path, n: int | None = None) -> FeasibleSet | ConicSet:
    """Return the set that a JSON file describes.

    Args:
        path: the file.
        n: number of inputs of the network, for sets that do not say theirs.

    Raises:
        FileError: the file cannot be read or is no such description; the message says where.
    """
    try:
        spec = json.loads(Path(path).read_text(), object_pairs_hook=_object)
    except (OSError, ValueError) as error:
        raise FileError(f"{path} cannot be read as JSON: {error}") from error
    try:
        return set_of(spec, n)
    except ProgramError as error:
        raise FileError(f"{path}: {error}") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the object of these keys and values; of a key that stands twice, JSON would silently keep the last."""
    keys = [key for key, _ in pairs]
    twice = next((key for key in keys if keys.count(key) > 1), None)
    if twice is not None:
        raise ValueError(f"the key {twice!r} stands twice in one object; keep one of them")
    return dict(pairs)


def set_of(spec: Any, n: int | None = None, where: str = "the set") -> FeasibleSet | ConicSet:
    """Return the set that a description says, as `json.loads` gives it.

    Args:
        spec: the description, an object with the key `set` and those of its kind.
        n: length of x, for sets that do not say theirs.
        where: place in the file, for messages.

    Raises:
        ProgramError: a key is missing or unknown, or the set is invalid.

    >>> set_of({"set": "ball", "radius": 2.0}, n=3)
    Ball(n=3)
    """
    if not isinstance(spec, dict) or not isinstance(spec.get("set"), str):
        raise ProgramError(f'{where} must be an object with the key "set"; received {str(spec)[:60]}')
    kind = choose("set", spec["set"], KINDS, error=ProgramError)
    make, needed, allowed = KINDS[kind]
    if "center" in spec and "centre" in allowed and "centre" not in spec:
        warnings.warn(f"the key center of {where} ({kind}) is now centre", DeprecationWarning, stacklevel=2)
        spec = {"centre" if key == "center" else key: value for key, value in spec.items()}
    keys = set(spec) - {"set"}
    missing, unknown = sorted(needed - keys), sorted(keys - needed - allowed)
    if missing or unknown:
        what = f"lacks {', '.join(missing)}" if missing else f"does not take {', '.join(unknown)}"
        raise ProgramError(f"{where} ({kind}) {what}; it takes {', '.join(sorted(needed | allowed)) or 'nothing else'}")
    values = {key: _value(key, spec[key], f"{where}.{key}") for key in keys}
    if kind in SIZED and "n" not in values and n is not None and not keys & MATRICES:
        values["n"] = n
    if "n" in allowed and "n" not in values and kind != "polytope":
        raise ProgramError(f"{where} ({kind}) lacks n, the number of entries of x, which the network would say")
    try:
        made: FeasibleSet | ConicSet = make(**values)
    except (TypeError, ValueError) as error:
        raise ProgramError(f"{where} ({kind}): {error}") from error
    return made


def _value(key: str, value: Any, where: str) -> Any:
    if key in PLAIN:
        return value
    if key == "sets" or (key == "step" and isinstance(value, list)):
        if not isinstance(value, list):
            raise ProgramError(f"{where} must be a list of sets; received {type(value).__name__}")
        return [set_of(entry, where=f"{where}[{i}]") for i, entry in enumerate(value)]
    if key == "step":
        return set_of(value, where=where)
    if key in GROUPS:
        if not isinstance(value, dict) or set(value) != set(GROUPS[key]):
            raise ProgramError(f"{where} must be an object with {', '.join(GROUPS[key])}; received {str(value)[:60]}")
        return tuple(_value(inner, value[inner], f"{where}.{inner}") for inner in GROUPS[key])
    if isinstance(value, dict):
        if key in MATRICES or set(value) != {"bias", "weight"}:
            raise ProgramError(f"{where} must be numbers or an object with bias and weight; received {str(value)[:50]}")
        return Affine(_numbers(value["bias"], 0.0, f"{where}.bias"), _numbers(value["weight"], 0.0, f"{where}.weight"))
    return _numbers(value, {"lower": -np.inf, "upper": np.inf}.get(key), where)


def _numbers(value: Any, nothing: float | None, where: str) -> Any:
    """Return nested lists as an array; null is `nothing`, if that is infinite."""
    if nothing is not None and np.isinf(nothing):
        value = _filled(value, nothing)
    try:
        return np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ProgramError(f"{where} must be a full array of numbers; received {str(value)[:60]}") from error


def _filled(value: Any, nothing: float) -> Any:
    if isinstance(value, list):
        return [_filled(entry, nothing) for entry in value]
    return nothing if value is None else value
