"""The public face of a package: its names, each imported from its home module when it is first used.

What is public is named once, in the stub `__init__.pyi`, where editors and type checkers read it:

    from socicnn.nn._storage import load as load           # a name and the module that defines it
    from socicnn import conic as conic                      # in the stub of `socicnn`: a submodule
    __version__: str                                        # a name that `__init__.py` itself defines

and `__init__.py` says `__all__ = face(__name__)`. Names and submodules answer alike whatever was imported before; where
both are the same word, the public name wins.
"""

from __future__ import annotations

import ast
import sys
from importlib import import_module
from importlib.util import find_spec
from pkgutil import get_data
from types import ModuleType
from typing import Any

_HOMES = "_face_homes"


class _Face(ModuleType):
    """A package that imports its public names and its submodules when they are first used."""

    def __getattr__(self, name: str) -> Any:
        home = vars(self)[_HOMES].get(name)
        if home is not None:
            value = vars(self)[name] = getattr(import_module(home), name)
            return value
        if name in vars(self).get("_MOVED", {}):  # a public name of the version before
            return import_module("socicnn._moved").moved_name(self.__name__, name, vars(self)["_MOVED"][name])
        if not name.startswith("_") and find_spec(f"{self.__name__}.{name}") is not None:
            return import_module(f"{self.__name__}.{name}")
        raise AttributeError(f"module '{self.__name__}' has no attribute '{name}'", name=name, obj=self)

    def __setattr__(self, name: str, value: Any) -> None:
        # the import system binds each submodule to its package, which must not hide the public name of the same word
        if not (isinstance(value, ModuleType) and name in vars(self)[_HOMES]):
            super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return list(vars(self)["__all__"])


def public_names(stub: str) -> dict[str, str | None]:
    """Return the names of a stub, each with the module or package that it comes from, or None."""
    names: dict[str, str | None] = {}
    for entry in ast.parse(stub).body:
        if isinstance(entry, ast.ImportFrom):
            names |= {alias.asname or alias.name: entry.module for alias in entry.names}
        elif isinstance(entry, ast.AnnAssign) and isinstance(entry.target, ast.Name):
            names[entry.target.id] = None
    return names


def face(package: str) -> list[str]:
    """Give the package of this `__name__` the names of its stub, and return them for `__all__`.

    Any other submodule is imported on access too, but `dir` does not list it.

    Raises:
        ImportError: the stub is missing.

    >>> import socicnn.nn
    >>> socicnn.load is socicnn.nn.load
    True
    """
    try:
        stub = get_data(package, "__init__.pyi") or b""
    except OSError as error:
        raise ImportError(f"{package} lacks its list of names, __init__.pyi; install socicnn again") from error
    names, module = public_names(stub.decode()), sys.modules[package]
    vars(module)[_HOMES] = {name: home for name, home in names.items() if home not in (None, package)}
    module.__class__ = _Face
    return sorted(names)
