"""An object in words that are the same in another process: what a checkpoint compares of a user's own loss."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import is_dataclass
from functools import partial
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch

PLAIN = (type(None), bool, int, float, complex, str, bytes, type(Ellipsis))
DEPTH = 12  # levels of what an object holds that are told apart


def described(value: Any, seen: dict[int, Any] | None = None, depth: int = 0) -> str:
    """Return a name with settings: `HuberLoss(delta=1.0)` for an object; a function's name, code and closure.

    `repr` may have memory addresses in it, which differ from run to run.

    Args:
        value: anything.
        seen: objects that were described before, by identity; they are not described again.
        depth: levels above this one.
    """
    seen = {} if seen is None else seen

    def inner(part: Any) -> str:
        return described(part, seen, depth + 1)

    if isinstance(value, PLAIN):
        return repr(value)
    if depth > DEPTH:
        return _name(type(value))
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(inner, value))}]"
    if isinstance(value, (set, frozenset)):
        return f"{{{', '.join(sorted(map(inner, value)))}}}"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{inner(key)}: {inner(part)}' for key, part in value.items())}}}"
    if isinstance(value, (torch.Tensor, np.ndarray)):
        return _array(value)
    if isinstance(value, CodeType):
        return f"{_hash(value.co_code)} {inner([*value.co_consts, *value.co_names])}"
    if id(value) in seen:
        return "..."
    seen[id(value)] = value
    if isinstance(value, FunctionType):
        cells = [_content(cell) for cell in value.__closure__ or ()]
        parts = inner([value.__code__, value.__defaults__, value.__kwdefaults__, cells])
        return f"{_name(value)}({_hash(parts.encode())})"
    if isinstance(value, MethodType):
        return f"{inner(value.__self__)}.{value.__name__}"
    if isinstance(value, partial):
        return f"partial({inner([value.func, value.args, value.keywords])})"
    if isinstance(value, (type, ModuleType)):
        return _name(value)
    if not hasattr(value, "__dict__"):
        return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))
    settings = ", ".join(f"{name}={inner(part)}" for name, part in vars(value).items())
    kind = type(value)
    return f"{kind.__qualname__ if is_dataclass(kind) else _name(kind)}({settings})"  # the first is a dataclass's repr


def _name(value: Any) -> str:
    return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', value.__name__)}"


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # empty: a name that is not bound yet
        return None


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _array(value: Any) -> str:
    shape = f"array{tuple(value.shape)}"
    if isinstance(value, torch.Tensor):
        if value.is_meta or value.layout != torch.strided:
            return shape
        value = value.detach().cpu()
        value = (torch.view_as_real(value.resolve_conj()) if value.is_complex() else value).double().numpy()
    content = repr(value.tolist()).encode() if value.dtype == object else value.tobytes()
    return f"{shape} {_hash(content)}"
