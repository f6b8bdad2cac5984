"""Names and keywords that were renamed or moved into an options object: they warn, and work for one more version."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from functools import wraps
from importlib import import_module
from typing import Any, ParamSpec, TypeVar

T = TypeVar("T")
P = ParamSpec("P")


def accepts_renamed(**names: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Return a decorator of functions whose keywords were renamed.

    Args:
        names: old keyword -> new keyword.

    Raises:
        TypeError: by the function, if a keyword stands under both names.
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        name = function.__qualname__.removesuffix(".__init__")

        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            for old, new in names.items():
                if old in kwargs:
                    if new in kwargs:
                        raise TypeError(f"{name} received both {old} and {new}, which is its name now")
                    warnings.warn(f"{name}({old}=...) is now {name}({new}=...)", DeprecationWarning, stacklevel=2)
                    kwargs[new] = kwargs.pop(old)
            return function(*args, **kwargs)

        return call

    return decorate


def renamed_names(module: str, names: Mapping[str, Any]) -> Callable[[str], Any]:
    """Return a module's `__getattr__` that answers to names it had before.

    Args:
        module: the module's `__name__`.
        names: old name -> the object, whose own name is the new one.

    Raises:
        AttributeError: by what is returned, if the module never had the name.
    """

    def look_up(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module '{module}' has no attribute '{name}'")
        warnings.warn(f"{module}.{name} is now {module}.{names[name].__name__}", DeprecationWarning, stacklevel=2)
        return names[name]

    return look_up


def moved_name(package: str, name: str, home: str) -> Any:
    """Return the object that was `package.name` before and is now at `home`, "module:name", with a warning.

    A home that is private says that there is no public name any more.
    """
    module, _, new = home.partition(":")
    value = getattr(import_module(module), new)
    now = "private, and goes in the next version" if "._" in module else f"{module}.{new}"
    warnings.warn(f"{package}.{name} is now {now}", DeprecationWarning, stacklevel=3)
    return value


def with_renamed(value: T, moved: dict[str, Any], old: str, new: str, *, function: str) -> T:
    """Return the value of a keyword that was renamed: what stands under its old name, if anything does.

    Args:
        value: what was passed under the new name.
        moved: the keywords that the function does not have any more; the old name is taken out.
        old: the name before.
        new: the name now.
        function: its name, for the message.
    """
    if old not in moved:
        return value
    warnings.warn(f"{function}({old}=...) is now {function}({new}=...)", DeprecationWarning, stacklevel=3)
    renamed: T = moved.pop(old)
    return renamed


def with_moved(options: T, moved: Mapping[str, Any], *, function: str, argument: str) -> T:
    """Return options with the settings that were keywords of a function before.

    Args:
        options: a dataclass.
        moved: the keywords that the function does not have any more.
        function: its name, for the messages.
        argument: the argument that takes the options, for the messages.

    Raises:
        TypeError: the options have no such setting either.

    >>> from dataclasses import dataclass
    >>> @dataclass
    ... class Options:
    ...     clip: float = 1.0
    >>> with_moved(Options(), {}, function="fit", argument="options")
    Options(clip=1.0)
    """
    if not moved:
        return options
    known = {entry.name for entry in fields(options)}  # type: ignore[arg-type]  # a dataclass
    for name in moved:
        if name not in known:
            raise TypeError(f"{function}() got an unexpected keyword argument '{name}'")
    listed = ", ".join(f"{name}=..." for name in moved)
    warnings.warn(
        f"{', '.join(moved)} moved into `{argument}`; write "
        f"{function}(..., {argument}={type(options).__name__}({listed}))",
        DeprecationWarning,
        stacklevel=3,
    )
    made: T = replace(options, **moved)  # type: ignore[type-var]  # a dataclass
    return made
