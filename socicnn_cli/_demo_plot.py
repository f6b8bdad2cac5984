"""The picture of `socicnn demo`: what each surrogate costs, and what it looks like next to the truth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from socicnn._figures import new_figure
from socicnn._files import replacing

COLOURS = {"soc-partial": "#0b6e99", "relu-joint": "#c4622d"}
YARDSTICKS = {"centre of the set": "#555555", "random decision": "#aaaaaa"}


def plot(
    path: Path,
    task: Any,
    models: dict[str, Any],
    contexts: torch.Tensor,
    optimum: tuple[Any, Any],
    regrets: dict[str, Any],
) -> None:
    """Draw regret over the test contexts, and predicted against true cost along one segment through the optimum.

    Args:
        path: PNG file to write.
        task: the task.
        models: trained surrogates by name.
        contexts: test contexts, `(count, p)`.
        optimum: true minimisers and values.
        regrets: regret of every context by "surrogate, method", and by the name of a yardstick.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    figure = new_figure(11, 5.2)
    left, right = figure.subplots(1, 2)
    for label, values in regrets.items():
        ordered = np.sort(np.maximum(np.asarray(values, dtype=float), 1e-9))
        share = np.arange(1, len(ordered) + 1) / len(ordered)
        if label in YARDSTICKS:
            left.plot(ordered, share, color=YARDSTICKS[label], linewidth=1.2, label=f"{label} (no model)")
            continue
        name, method = label.split(", ")
        # both methods decide nearly the same: thin dark dots on a broad light line show the two
        style: dict[str, Any] = {"linewidth": 5, "alpha": 0.35} if method == "exact" else {"linestyle": (0, (1, 2))}
        left.plot(ordered, share, color=COLOURS[name], label=f"{name}, {method.replace('_', ' ')}", **style)
    left.set(xscale="log", xlabel="regret F(x) − F(x*)", ylabel="share of test contexts", ylim=(0, 1.02))
    left.set_title("Regret of the decisions")
    left.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2, frameon=False, fontsize=9)
    left.grid(alpha=0.25)

    context, best = contexts[0], torch.as_tensor(np.asarray(optimum[0])[0], dtype=torch.float64)
    start = task.feasible_set.sample(1, generator=torch.Generator().manual_seed(5))[0]
    steps = torch.linspace(0.0, 1.0, 101, dtype=torch.float64)[:, None]
    segment = start + steps * (best - start)
    true = task.cost(segment, context.expand(len(segment), -1))
    right.plot(steps[:, 0], true - true[-1], color="black", linewidth=2.2, label="true cost F")
    for name, model in models.items():
        with torch.no_grad():
            value = model(segment, context.expand(len(segment), -1))
        right.plot(steps[:, 0], value - value[-1], color=COLOURS[name], label=name)
    right.set(xlabel="from a random point (0) to the optimum x* (1)", ylabel="cost − cost at x*")
    right.set_title("One test context: predicted and true cost")
    right.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3, frameon=False, fontsize=9)
    right.grid(alpha=0.25)
    with replacing(path) as draft:
        figure.savefig(draft, dpi=150, format="png")
