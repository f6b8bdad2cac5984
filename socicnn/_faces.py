"""The public face of a package: its names, each imported from its home module when it is first used.

A package's `__init__` names what is public once, and the rest of the package stays unloaded until somebody asks:

    if TYPE_CHECKING:                                   # what editors and type checkers read
        from socicnn.nn._storage import load as load

    __all__ = face(__name__, {"load": "socicnn.nn._storage"}, modules=("storage",))

Names and submodules answer alike whatever was imported before. Where a name and a submodule are the same word, the
public name wins: `verify.certify` is the function, and its module is reached by `from verify._certify import ...`.
A test compares the names with those of the `TYPE_CHECKING` block.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

_HOMES = "_face_homes"


class _Face(ModuleType):
    """A package that imports its public names and its submodules when they are first used."""

    def __getattr__(self, name: str) -> Any:
        package = self.__name__
        home = vars(self)[_HOMES].get(name)
        if home is not None:
            value = getattr(import_module(home), name)
            vars(self)[name] = value
            return value
        if not name.startswith("_") and find_spec(f"{package}.{name}") is not None:
            return import_module(f"{package}.{name}")
        raise AttributeError(f"module '{package}' has no attribute '{name}'", name=name, obj=self)

    def __setattr__(self, name: str, value: Any) -> None:
        # the import system binds each submodule to its package, which must not hide the public name of the same word
        if isinstance(value, ModuleType) and name in vars(self)[_HOMES]:
            return
        super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return list(vars(self)["__all__"])


def face(package: str, homes: Mapping[str, str], *, modules: Sequence[str] = (), own: Sequence[str] = ()) -> list[str]:
    """Give a package its lazily imported names; call it once, at the end of its `__init__`; return `__all__`.

    Args:
        package: `__name__` of the package.
        homes: public name -> the module that defines it.
        modules: public submodules. Any other submodule is imported on access too, but `dir` does not list it.
        own: public names that `__init__` itself defines.

    Raises:
        ValueError: a name is listed twice, as a name and as a submodule.

    >>> import socicnn.nn
    >>> socicnn.load is socicnn.nn.load
    True
    """
    twice = sorted(set(homes) & set(modules))
    if twice:
        raise ValueError(f"{package} lists {', '.join(twice)} both as a name and as a submodule; list it once")
    module = sys.modules[package]
    vars(module)[_HOMES] = dict(homes)
    module.__class__ = _Face
    return sorted([*homes, *modules, *own])
