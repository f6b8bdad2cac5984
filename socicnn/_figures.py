"""Figures of matplotlib, an optional package that is imported when something is drawn."""

from __future__ import annotations

from typing import Any

from socicnn.errors import MissingExtra


def new_figure(width: float, height: float) -> Any:
    """Return an empty `matplotlib.figure.Figure`, laid out so that labels fit; no window opens.

    Args:
        width: in inches.
        height: in inches.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtra('pictures need the package matplotlib; run: pip install "socicnn[plot]"') from error
    return Figure(figsize=(width, height), layout="constrained")
