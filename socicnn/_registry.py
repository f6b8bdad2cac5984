"""Things that are chosen by a short name: solvers, recipes, losses, sets, tasks, formats."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches
from importlib import import_module
from typing import Any, Generic, TypeVar, cast

from socicnn.errors import ModelError, SocicnnError

T = TypeVar("T")


def unknown(kind: str, name: object, names: Iterable[str]) -> str:
    """Return the message for a name that is not among `names`, with the closest of them.

    >>> unknown("solver", "clarabell", ["scs", "clarabel"])
    "unknown solver 'clarabell' (did you mean 'clarabel'?); there are: clarabel, scs"
    >>> unknown("solver", 3, ["scs", "clarabel"])
    'unknown solver 3; there are: clarabel, scs'
    """
    known = sorted(names)
    lowered = {entry.lower(): entry for entry in known}
    close = get_close_matches(name.lower(), lowered, n=1) if isinstance(name, str) else []
    hint = f" (did you mean {lowered[close[0]]!r}?)" if close else ""
    return f"unknown {kind} {name!r}{hint}; there are: {', '.join(known) or 'none'}"


def choose(kind: str, name: Any, names: Iterable[str], *, error: Callable[[str], Exception] = ModelError) -> str:
    """Return `name` if it is one of `names`.

    Args:
        kind: what is chosen, as messages call it: an argument's name, or "solver", "recipe".
        name: what was asked for.
        names: what there is.
        error: makes the exception from the message.

    Raises:
        SocicnnError: it is not one of them; the message lists them and names the closest.
    """
    known = tuple(names)
    if not isinstance(name, str) or name not in known:
        raise error(unknown(kind, name, known))
    return name


def of_kind(name: str, value: Any, kind: type[T]) -> T:
    """Return a value of a class.

    Args:
        name: of the argument, for the message.
        value: what was given.
        kind: the class.

    Raises:
        ModelError: it is of another class.

    >>> of_kind("options", {"jobs": 2}, bool)
    Traceback (most recent call last):
    ...
    socicnn.errors.ModelError: options must be a bool(...); received dict
    """
    if not isinstance(value, kind):
        raise ModelError(f"{name} must be a {kind.__name__}(...); received {type(value).__name__}")
    return value


class Registry(Generic[T]):
    """Values by short name. A value may be given as "module:name"; it is then imported when it is first used.

    Args:
        kind: what the values are, as messages call it: "solver", "recipe".
        entries: name -> value, or "module:name" of the value.
        error: the class of the errors.

    >>> shapes = Registry("shape", {"box": dict})
    >>> shapes.make("box", n=3)
    {'n': 3}
    >>> shapes["bok"]
    Traceback (most recent call last):
    socicnn.errors.ModelError: unknown shape 'bok' (did you mean 'box'?); there are: box
    """

    def __init__(
        self, kind: str, entries: Mapping[str, T | str] | None = None, *, error: type[SocicnnError] = ModelError
    ) -> None:
        self.kind = kind
        self.error = error
        self._entries: dict[str, T | str] = dict(entries or {})

    def register(self, name: str, value: T | str) -> None:
        """Add a value, or "module:name" of one; the same name may be given again for the same value only.

        Raises:
            SocicnnError: the name belongs to another value.
        """
        if name in self._entries and _address(self._entries[name]) != _address(value):
            raise self.error(f"the {self.kind} {name!r} is registered already; choose another name")
        self._entries[name] = value

    def names(self) -> list[str]:
        """Return the names, in the order in which they were registered."""
        return list(self._entries)

    def known(self, name: Any) -> str:
        """Return the name, if there is a value of that name.

        Raises:
            SocicnnError: the name is unknown.
        """
        return choose(self.kind, name, self._entries, error=self.error)

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __getitem__(self, name: str) -> T:
        """Return the value of that name.

        Raises:
            SocicnnError: the name is unknown; the message lists the names and the closest one.
        """
        try:
            entry = self._entries[name]
        except (KeyError, TypeError):  # unknown, or not even hashable
            raise self.error(unknown(self.kind, name, self._entries)) from None
        if isinstance(entry, str):
            module, _, attribute = entry.partition(":")
            entry = cast(T, getattr(import_module(module), attribute))
            self._entries[name] = entry
        return entry

    def make(self, kind: Any, /, *arguments: Any, **settings: Any) -> Any:
        """Return what the value of that name makes of the settings; anything but a name is returned as it is.

        Args:
            kind: a short name, or something made already.
            arguments: positional arguments of the value.
            settings: keyword arguments of the value.

        Raises:
            SocicnnError: the name is unknown, it has no such setting, or settings were given without a name.
        """
        if not isinstance(kind, str):
            if settings:
                listed = ", ".join(sorted(settings))
                raise self.error(f"settings ({listed}) go with the name of a {self.kind}; received {kind!r} with them")
            return kind
        factory: Any = self[kind]
        try:
            return factory(*arguments, **settings)
        except TypeError as error:
            raise self.error(f"the {self.kind} {kind!r} does not take these settings: {error}") from None

    def __repr__(self) -> str:
        return f"Registry({self.kind!r}: {', '.join(self._entries)})"


def _address(value: object) -> object:
    """Return "module:name" of a value that has them, so that a value equals the text that stands for it."""
    if isinstance(value, str) or not hasattr(value, "__qualname__"):
        return value
    return f"{getattr(value, '__module__', '')}:{value.__qualname__}"
