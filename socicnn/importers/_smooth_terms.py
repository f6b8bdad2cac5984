"""Softplus units that the output alone reads, as logistic and log-sum-exp branches.

tau log(1 + exp(a / tau)), a affine in x, is a logistic branch. A chain z_1 = softplus(d_1 + z_2), z_2 = softplus(d_2 +
z_3), ..., as sums of exponentials are read, is log(1 + exp(d_1) + exp(d_1 + d_2) + ...): one branch in place of a layer
for each piece.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import sparse

from socicnn._arrays import Matrix
from socicnn.frozen._exponentials import Logistic, LogSumExp
from socicnn.importers._value import Atoms, Value


@dataclass(frozen=True, eq=False)
class Peeled:
    """An output, and the branches that were taken off it."""

    output: Value
    logsumexps: list[LogSumExp]
    logistics: list[Logistic]


def peeled(output: Value) -> Peeled:
    """Return the output without its log-sum-exps, and without softplus units beside units of another kind."""
    readers = _readers(output)
    kinds = {group.smoothing for group in readers if group.kind == "relu"}
    result = Peeled(output, [], [])
    rest: dict[Atoms, sparse.csr_array] = {}
    for group, M in output.atoms.items():
        chain = _chain(group)
        if not all(readers[link] == 1 for link in chain) or len(chain) + len(kinds) <= 2:
            chain = []
        if not chain:
            rest[group] = M
        elif len(chain) == 1:
            result.logistics.append(_logistic(group, M))
        else:
            result.logsumexps.extend(_log_sum_exps(chain, M))
    return replace(result, output=replace(output, atoms=rest))


def _readers(output: Value) -> Counter[Atoms]:
    """Return by how many tensors each group is read."""
    counts: Counter[Atoms] = Counter()
    open_ = [output]
    while open_:
        for group in open_.pop().atoms:
            if not counts[group]:
                open_.append(group.source)
            counts[group] += 1
    return counts


def _chain(group: Atoms) -> list[Atoms]:
    """Return softplus units and those that they add, one to each, down to affine sources; empty if there is more."""
    chain = [group]
    while group.smoothing and chain[-1].source.atoms:
        below = list(chain[-1].source.atoms.items())
        link, M = below[0]
        same = link.kind == "relu" and (link.smoothing, link.size) == (group.smoothing, group.size)
        if len(below) > 1 or not same or (sparse.eye_array(group.size, format="csr") != M).nnz:
            return []
        chain.append(link)
    return chain if group.smoothing else []


def _logistic(group: Atoms, M: sparse.csr_array) -> Logistic:
    """Return the branch of softplus units that the output reads with these weights."""
    weights, tau = M.toarray().reshape(-1), group.smoothing
    read = np.flatnonzero(weights)
    return Logistic(tau * weights[read], compact(group.source.x[read] / tau), group.source.constant[read] / tau)


def _log_sum_exps(chain: list[Atoms], M: sparse.csr_array) -> list[LogSumExp]:
    """Return one branch for each weight."""
    weights, tau, pieces = M.toarray().reshape(-1), chain[0].smoothing, len(chain) + 1
    matrices, constants = [sparse.csr_array(chain[0].source.x.shape)], [np.zeros(chain[0].size)]
    for link in chain:
        matrices.append(sparse.csr_array(matrices[-1] + link.source.x))
        constants.append(constants[-1] + link.source.constant)
    branches = []
    for weight in np.unique(weights[weights != 0]).tolist():
        units = np.flatnonzero(weights == weight)
        order = np.arange(pieces * len(units)).reshape(pieces, -1).T.reshape(-1)  # unit by unit
        G = sparse.csr_array(sparse.vstack([matrix[units] for matrix in matrices], format="csr")[order])
        o = np.concatenate([constant[units] for constant in constants])[order]
        branches.append(LogSumExp(tau * weight, compact(G / tau), o / tau, pieces))
    return branches


def compact(matrix: Any) -> Matrix:
    """Return a matrix dense where it is mostly full, sparse elsewhere."""
    rows = sparse.csr_array(matrix)
    return rows.toarray() if rows.nnz > 0.3 * rows.shape[0] * rows.shape[1] else rows
