"""Write docs/reference.md: every public name with its arguments and the first sentence of its docstring.

python docs/make_reference.py
"""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

PAGE = Path(__file__).parent / "reference.md"
MODULES = (
    "socicnn",
    "socicnn.nn",
    "socicnn.frozen",
    "socicnn.conic",
    "socicnn.conic.solvers",
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
    if isinstance(entry, ModuleType) or not callable(entry):
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
    if type(entry).__name__ == "Registry":
        return f"Short names: {', '.join(f'`{name}`' for name in entry.names())}."
    text = " ".join((inspect.getdoc(entry) or "").split("\n\n")[0].split())
    return re.sub(r"[|]", r"\\|", text)


def reference() -> str:
    """Return the page."""
    lines = [HEAD]
    for module in MODULES:
        home = import_module(module)
        lines += [f"## {module}", "", " ".join((home.__doc__ or "").split("\n\n")[0].split()), ""]
        lines += ["| name | what it is |", "|---|---|"]
        lines += [
            f"| `{name}{arguments(getattr(home, name))}` | {summary(getattr(home, name))} |" for name in public(module)
        ]
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    PAGE.write_text(reference())
