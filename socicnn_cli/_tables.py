"""Reads points, contexts and samples from .npy, .npz and .csv files; unclear names are refused, never guessed."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from socicnn._arrays import Array
from socicnn._files import FileError
from socicnn._numpy_files import read_arrays
from socicnn.training._grouping import group, layout
from socicnn_cli._frames import column_of, read_frame

ROLES = {"x", "theta", "y"}  # names that say what an array holds
_DIGITS = "(0|[1-9][0-9]{0,8})"


@dataclass(frozen=True, eq=False)
class Table:
    """What `socicnn fit` learns from.

    Args:
        x: points, `(contexts, candidates, n)` where each context has several candidates, else `(count, n)`.
        y: values, shape of x without the last axis.
        context: `(contexts, p)` or `(count, p)`; None without contexts.
        grouped: whether x has the candidate axis.
        layout: how the points are spread over contexts, in words.
    """

    x: Array
    y: Array
    context: Array | None
    grouped: bool
    layout: str = ""


def _existing(path: Path) -> Path:
    if not path.exists():
        raise FileError(f"no file {path}; check the path")
    if path.is_dir():
        raise FileError(f"{path} is a folder; name a file")
    return path


def _finite(path: Path, name: str, array: Array) -> Array:
    bad = ~np.isfinite(array)
    if bad.any():
        rows = np.flatnonzero(bad.reshape(len(array), -1).any(axis=1)) if array.ndim else np.zeros(1, dtype=int)
        raise FileError(
            f"{path}: {name} has {int(bad.sum())} entries that are NaN or infinite, the first in row {int(rows[0])} "
            "(counting from 0); remove or replace them"
        )
    return array


def _arrays(path: Path) -> dict[str, Array]:
    """Return the arrays of a .npy (named "") or .npz file as float64."""
    content = read_arrays(path)
    if any(array.dtype.kind not in "biuf" for array in content.values()):
        raise FileError(f"{path} holds an array that is not of real numbers; keep numbers alone")
    return {name: np.asarray(array, dtype=np.float64) for name, array in content.items()}


def numbered(path: Path, header: Sequence[str], prefix: str) -> list[str]:
    """Return the names prefix0, prefix1, ... of a header, in order.

    Raises:
        FileError: a number is missing, or a name is spelled nearly like one of these.
    """
    numbers: set[int] = set()
    for name in header:
        if re.fullmatch(prefix + _DIGITS, name):
            numbers.add(int(name.removeprefix(prefix)))
        elif re.fullmatch(rf"{prefix}[\W_]*\d+[\W_]*", unicodedata.normalize("NFKC", name), re.IGNORECASE):
            raise FileError(
                f"{path} has a column {name!r}, which is not one of {prefix}0, {prefix}1, ... (small letters, no "
                "signs, no leading zeros); rename or remove it"
            )
    missing = next((i for i in range(len(numbers)) if i not in numbers), None)
    if missing is not None:
        raise FileError(
            f"{path} has no column {prefix}{missing}; number the columns {prefix}0, {prefix}1, ... without gaps"
        )
    return [f"{prefix}{i}" for i in range(len(numbers))]


def refuse_others(path: Path, header: Sequence[str], used: Sequence[str]) -> None:
    """Raise a FileError if a file has columns that are not used: data is never dropped silently."""
    others = [name for name in header if name not in used]
    if others:
        raise FileError(
            f"{path} has columns other than x0, x1, ..., theta0, theta1, ... and y: {', '.join(others)[:200]}; "
            "rename those to learn from, remove the others"
        )


def _stacked(path: Path, frame: Any, names: Sequence[str]) -> Array:
    return np.column_stack([column_of(path, frame, name) for name in names])


def read_rows(path: Path, name: str, prefix: str) -> Array:
    """Return a table of points (`prefix` "x") or contexts ("theta") of shape `(rows, width)` or, from .npy, as stored.

    Args:
        path: .npy, .npz (the array called `prefix`, or its only array, if that has no other role) or .csv (columns
            `prefix`0.., or no header).
        name: what the rows are, for messages.
        prefix: column prefix.
    """
    if _existing(path).suffix.lower() == ".csv":
        frame = read_frame(path, bare=True)
        header = list(frame.columns)
        names = header if header == [str(i) for i in range(len(header))] else numbered(path, header, prefix)
        if not names:
            raise FileError(f"{path} has no columns {prefix}0, {prefix}1, ...; found {', '.join(header)}")
        rows = _stacked(path, frame, names)
    elif path.suffix.lower() in {".npy", ".npz"}:
        content = _arrays(path)
        if prefix not in content and (len(content) != 1 or ROLES & content.keys()):
            raise FileError(f"{path} holds {', '.join(sorted(content))}; name the array of the {name} {prefix!r}")
        rows = content[prefix] if prefix in content else next(iter(content.values()))
        if rows.ndim == 0:
            raise FileError(f"{path} holds a single number; the {name} need one row each")
        rows = rows[None] if rows.ndim == 1 else rows
    else:
        raise FileError(f"{path}: the {name} are read from .npy, .npz or .csv; received {path.suffix or 'no suffix'!r}")
    return _finite(path, f"the table of {name}", rows)


def read_samples(path: Path) -> Table:
    """Return the training data of `socicnn fit`.

    An .npz holds x `(contexts, candidates, n)` and y `(contexts, candidates)`, or x `(count, n)` and y `(count,)`, with
    theta one row per context or one per point. A CSV has columns x0.., theta0.. (optional) and y, one row per
    point. Points with equal theta belong to one context; where all contexts have equally many points they are grouped.
    """
    suffix = _existing(path).suffix.lower()
    if suffix == ".npz":
        content = _arrays(path)
        missing = {"x", "y"} - content.keys()
        if missing:
            raise FileError(f"{path} lacks {' and '.join(sorted(missing))}; it needs x, y and, with contexts, theta")
        if others := sorted(content.keys() - ROLES):
            raise FileError(
                f"{path} has arrays other than x, theta and y: {', '.join(others)[:200]}; call contexts theta, leave "
                "out what is not to be learned from"
            )
        x, y, theta = content["x"], content["y"], content.get("theta")
    elif suffix == ".csv":
        frame = read_frame(path, bare=True)
        header = list(frame.columns)
        if "y" not in header:
            raise FileError(
                f"{path} has no column y; name your own columns with --target, --x and --context, or call them x0, x1, "
                "..., optionally theta0, ..., and y"
            )
        inputs = numbered(path, header, "x")
        if not inputs:
            raise FileError(f"{path} has no column x0; its header must name x0, x1, ..., optionally theta0, ..., and y")
        contexts = numbered(path, header, "theta")
        refuse_others(path, header, [*inputs, *contexts, "y"])
        x, y = _stacked(path, frame, inputs), column_of(path, frame, "y")
        theta = _stacked(path, frame, contexts) if contexts else None
    else:
        raise FileError(f"{path}: training data are read from .npz or .csv; received {path.suffix or 'no suffix'!r}")
    if x.ndim not in (2, 3) or y.shape != x.shape[:-1]:
        raise FileError(f"{path}: y must have the shape of x without its last axis; received x {x.shape}, y {y.shape}")
    if theta is not None and (theta.ndim != 2 or len(theta) != len(x)):
        raise FileError(f"{path}: theta must be one row per context, ({len(x)}, p); received {theta.shape}")
    for name, array in (("x", x), ("y", y), ("theta", theta)):
        if array is not None:
            _finite(path, name, array)
    if x.ndim == 2 and theta is not None:
        grouping = group(theta)
        if grouping.order is None:
            return Table(x, y, theta, grouped=False, layout=grouping.layout)
        order = grouping.order
        return Table(x[order], y[order], theta[order[:, 0]], grouped=True, layout=grouping.layout)
    words = layout(*y.shape) if x.ndim == 3 else "there are no contexts"
    return Table(x, y, theta, grouped=x.ndim == 3, layout=words)
