"""Input-convex neural networks as conic programs.

The names in `__init__.pyi` are the public interface; each is imported when first used, so that `socicnn.conic` works
where NumPy and SciPy alone are installed.
"""

import sys
from pathlib import Path

from socicnn._faces import face

__version__ = "0.2.0"

if Path(getattr(sys.modules.get("__main__"), "__file__", None) or "").stem in ("verify", "decision"):
    from socicnn._shadows import warn_of_script  # a script of that name hides a package of ours

    warn_of_script()

__all__ = face(__name__)
