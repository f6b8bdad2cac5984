"""Write docs/reference.md: every public name with its arguments and the first sentence of its docstring.

python docs/make_reference.py

The site has the same page with links, and a page per public name with its whole docstring (`write_pages`).
"""

from __future__ import annotations

import inspect
import re
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, get_args, get_origin

PAGE = Path(__file__).parent / "reference.md"
MODULES = (
    "socicnn",
    "socicnn.nn",
    "socicnn.frozen",
    "socicnn.conic",
    "socicnn.conic.solvers",
    "socicnn.conic.export",
    "socicnn.training",
    "socicnn.regression",
    "socicnn.positivity",
    "socicnn.positivity.diagnostics",
    "socicnn.density",
    "verify",
    "decision",
    "decision.sets",
    "decision.tasks",
    "decision.learning",
    "decision.baselines",
)
HEAD = """# Reference

Every public name, with its arguments and what it does. `help(name)` prints the whole docstring: formula, shapes,
errors, source. Names that are not listed here may change without notice.

Made by `python docs/make_reference.py` from the docstrings.
"""


def public(module: str) -> list[str]:
    """Return the public names of a module, without those of its subpackages that have a section of their own."""
    return [name for name in import_module(module).__all__ if f"{module}.{name}" not in MODULES]


def arguments(entry: Any) -> str:
    """Return the names of the arguments of a function or class, in parentheses; nothing for other entries."""
    if isinstance(entry, ModuleType) or not callable(entry) or get_origin(entry) is Literal:
        return ""
    try:
        parameters = inspect.signature(entry).parameters.values()
    except (TypeError, ValueError):
        return ""
    names, keyword_only = [], False
    for parameter in parameters:
        if parameter.kind is parameter.KEYWORD_ONLY and not keyword_only:
            names.append("*")
        keyword_only |= parameter.kind in (parameter.KEYWORD_ONLY, parameter.VAR_POSITIONAL)
        names.append(
            {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "") + parameter.name
        )
    return f"({', '.join(names)})"


def summary(entry: Any) -> str:
    """Return the first sentence of the docstring on one line, or the value of a constant."""
    if isinstance(entry, str):
        return "The version of this package."
    if get_origin(entry) is Literal:
        return f"One of {', '.join(f'`{name}`' for name in get_args(entry))}."
    if type(entry).__name__ == "Registry":
        return f"Short names: {', '.join(f'`{name}`' for name in entry.names())}."
    text = " ".join((inspect.getdoc(entry) or "").split("\n\n")[0].split())
    return re.sub(r"[|]", r"\\|", text)


@cache
def homes() -> dict[int, str]:
    """Return the first public name of every entry but strings, by its id: `socicnn.fit`."""
    found: dict[int, str] = {}
    for module in MODULES:
        for name in public(module):
            found.setdefault(id(getattr(import_module(module), name)), f"{module}.{name}")
    return found


def home_of(entry: Any, module: str, name: str) -> str:
    """Return the name under which an entry has its page."""
    return f"{module}.{name}" if isinstance(entry, str) else homes().get(id(entry), f"{module}.{name}")


def cell(module: str, name: str, *, linked: bool) -> str:
    """Return a name with its arguments as a cell of the table; with a link to its page on the site."""
    entry = getattr(import_module(module), name)
    if linked:
        return f"[`{name}`](api/{home_of(entry, module, name)}.rst)<br>`{arguments(entry)}`".removesuffix("<br>``")
    return f"`{name}{arguments(entry)}`"


def directive(entry: Any, name: str) -> str:
    """Return what documents a class, function or constant, in reStructuredText."""
    if inspect.isclass(entry):
        kind = "exception" if issubclass(entry, BaseException) else "class"
        return f".. auto{kind}:: {name}\n   :members:\n   :inherited-members:\n"
    return f".. auto{'function' if inspect.isroutine(entry) else 'data'}:: {name}\n"


def members(module: ModuleType) -> str:
    """Return what documents the names of a public module; those with a page of their own are linked."""
    names = getattr(module, "__all__", None) or [
        name
        for name, entry in vars(module).items()
        if not name.startswith("_") and getattr(entry, "__module__", None) == module.__name__
    ]
    parts = []
    for name in names:
        entry = getattr(module, name)
        home = home_of(entry, module.__name__, name)
        own = home == f"{module.__name__}.{name}"
        parts.append(directive(entry, home) if own else f"* :doc:`{name} <{home}>`\n")
    return "\n".join(parts)


def page(entry: Any, name: str) -> str:
    """Return the page of one public name."""
    title = name.rsplit(".", 1)[1]
    if isinstance(entry, ModuleType):
        body = f".. automodule:: {entry.__name__}\n\n{members(entry)}"
    else:
        body = directive(entry, name)
    return f":orphan:\n\n{title}\n{'=' * len(title)}\n\n{body}"


def write_pages(folder: Path) -> None:
    """Write the page of each public name, and take away those of names that are gone."""
    folder.mkdir(exist_ok=True)
    written = set()
    for module in MODULES:
        for name in public(module):
            entry = getattr(import_module(module), name)
            path = folder / f"{home_of(entry, module, name)}.rst"
            text = page(entry, path.stem)
            if path.stem not in written and (not path.exists() or path.read_text() != text):
                path.write_text(text)  # unchanged pages keep their time, so that a second build is quick
            written.add(path.stem)
    for path in folder.glob("*.rst"):
        if path.stem not in written:
            path.unlink()


def reference(*, linked: bool = False) -> str:
    """Return the page that lists all names, with links for the site."""
    lines = [HEAD]
    for module in MODULES:
        home = import_module(module)
        lines += [f"## {module}", "", " ".join((home.__doc__ or "").split("\n\n")[0].split()), ""]
        lines += ["| name | what it is |", "|---|---|"]
        lines += [
            f"| {cell(module, name, linked=linked)} | {summary(getattr(home, name))} |" for name in public(module)
        ]
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    PAGE.write_text(reference())
