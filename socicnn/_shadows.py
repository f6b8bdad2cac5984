"""Files of a user that hide a package of ours: `verify` and `decision` are top-level names that scripts often have."""

from __future__ import annotations

import sys
import warnings
from importlib.util import find_spec
from pathlib import Path

from socicnn.errors import ShadowedError

PACKAGES = ("verify", "decision")
HOME = Path(__file__).parents[1]  # our packages lie side by side, installed or not


def refuse_shadow(package: str) -> None:
    """Raise a ShadowedError if `import package` finds another file than ours.

    Args:
        package: `verify` or `decision`.
    """
    ours = HOME / package / "__init__.py"
    other = _found(package)
    if ours.exists() and other is not None and not ours.samefile(other):
        raise ShadowedError(
            f"{other} hides the package `{package}` of socicnn; rename that file, or run from another folder"
        )


def warn_of_script() -> None:
    """Warn if the running script has the name of a package of ours, which then cannot be imported."""
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    if spec is not None and spec.name not in PACKAGES:
        return  # a module of a package, as in `python -m tools.verify`, hides nothing
    script = Path(getattr(main, "__file__", None) or "")
    if script.suffix == ".py" and script.stem in PACKAGES:
        warnings.warn(
            f"this script is called {script.name}: `import {script.stem}` finds it in place of the package of socicnn; "
            "rename the script",
            RuntimeWarning,
            stacklevel=3,
        )


def _found(package: str) -> str | None:
    module = sys.modules.get(package)
    if module is not None:
        return getattr(module, "__file__", None)
    spec = find_spec(package)
    return None if spec is None or not spec.has_location else spec.origin
