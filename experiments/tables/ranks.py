"""Ranks of the models of a table, with ties within one standard error of the paired differences over the folds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from experiments.engine.tables import Row

RANKED = 3  # folds that a rank needs
DEFAULT = "socicnn stacked"  # of our kinds the one that counts in the ranks of others
Scores = dict[str, dict[int, float]]


def ranks(scores: Scores) -> dict[str, int]:
    """Return 1 + the number of models that are better by more than one standard error, for each model.

    The difference of two models is the mean over the folds that both finished. Of our kinds only the default counts
    in the ranks of others: a user who takes the defaults has no choice among them.

    >>> ranks({"a": {0: 0.9, 1: 0.8}, "b": {0: 0.8, 1: 0.7}, "c": {0: 0.85, 1: 0.85}})
    {'a': 1, 'b': 3, 'c': 1}
    """
    rivals = [own for model, own in scores.items() if model == DEFAULT or not model.startswith("socicnn")]
    return {model: 1 + sum(_better(other, own) for other in rivals) for model, own in scores.items()}


def _better(other: dict[int, float], own: dict[int, float]) -> bool:
    folds = sorted(other.keys() & own.keys())
    if other is own or len(folds) < 2:
        return False
    difference = np.array([other[fold] - own[fold] for fold in folds])
    return bool(difference.mean() > difference.std(ddof=1) / np.sqrt(len(folds)))


def summary(rows: Sequence[Row]) -> str:
    """Return one Markdown table: mean R2, rank and mean seconds of each model on each table, and the folds finished.

    Models of fewer than three finished folds have no rank, and count in no other's.
    """
    lines = ["| table | model | R2 | rank | seconds | folds |", "|---|---|---:|---:|---:|---:|"]
    for table in dict.fromkeys(row["table"] for row in rows):
        scores: Scores = {}
        seconds: dict[str, list[float]] = {}
        for row in rows:
            if row["table"] == table:
                scores.setdefault(str(row["model"]), {})[int(str(row["fold"]))] = float(str(row["r2"]))
                seconds.setdefault(str(row["model"]), []).append(float(str(row["seconds"])))
        placed = ranks({model: own for model, own in scores.items() if len(own) >= RANKED})
        for model, own in sorted(scores.items(), key=lambda entry: -float(np.mean(list(entry[1].values())))):
            mean, spent = np.mean(list(own.values())), np.mean(seconds[model])
            lines.append(f"| {table} | {model} | {mean:.3f} | {placed.get(model, '-')} | {spent:.2f} | {len(own)} |")
    return "\n".join(lines)
