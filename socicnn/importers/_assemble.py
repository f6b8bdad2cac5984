"""From the output of a graph, affine in x and its atoms, to the parts of a frozen network."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from socicnn._arrays import Array, IntArray
from socicnn.errors import ModelError
from socicnn.frozen._bundle import Parts
from socicnn.frozen._parts import Layer, Norm, Norms, Output, Quadratic, Squares
from socicnn.importers._smooth_terms import compact, peeled
from socicnn.importers._value import Atoms, Value, negative


def assemble(output: Value, name: str, input_shape: tuple[int, ...]) -> Parts:
    """Return the parts of the network whose value is the output of the graph.

    Units stand in the last layer that their readers allow. Those that are also read further up are carried there by
    units relu(z) = z >= 0.

    Args:
        output: the output, one entry.
        name: its name, for messages.
        input_shape: shape of one x.

    Raises:
        ModelError: the output is not one number, or not convex.
    """
    if output.size != 1:
        raise ModelError(f"output '{name}' has shape {output.shape}; a convex function has one value per point")
    count, least = negative(output)
    if count:
        kinds = {"relu": "hidden", "square": "quadratic", "norm": "norm"}
        bad = next(group for group, M in output.atoms.items() if (M.data < 0).any())
        weighted = f", after {output.origin}" if output.origin else ""
        raise ModelError(
            f"output '{name}' reads {bad.node} with {count} negative {kinds[bad.kind]} weights (least {least:.1e}"
            f"{weighted}), so that the network is not convex; train it with non-negative weights"
        )
    smooth = peeled(output)
    output = smooth.output
    layers, w = _layers(output)
    quadratics: list[Quadratic] = []
    norms: list[Norm] = []
    for group, M in output.atoms.items():
        if group.kind == "square":
            quadratics += _quadratics(group, M)
        elif group.kind == "norm":
            norms += _norms(group, M)
    v = output.x.toarray().reshape(-1)
    read = Output(w, v, float(output.constant[0]))
    return Parts(layers, read, quadratics, norms, input_shape, smooth.logsumexps, smooth.logistics)


def _by_weight(M: sparse.csr_array, power: float) -> list[tuple[float, IntArray, Array]]:
    """Return the atoms that the output reads, those of one weight together, and a factor of their source.

    Past 64 different weights all atoms go together, with weight 1 and the factor weight^power.
    """
    weights = M.toarray().reshape(-1)
    read = np.flatnonzero(weights)
    different = np.unique(weights[read])
    if len(different) > 64:
        return [(1.0, read, weights[read] ** power)]
    same = [(float(weight), np.flatnonzero(weights == weight)) for weight in different]
    return [(weight, atoms, np.ones(len(atoms))) for weight, atoms in same]


def _quadratics(group: Atoms, M: sparse.csr_array) -> list[Quadratic]:
    """Return one branch for each weight."""
    source = group.source
    return [
        Quadratic(beta, compact(sparse.diags_array(factor) @ source.x[rows]), factor * source.constant[rows])
        for beta, rows, factor in _by_weight(M, 0.5)
    ]


def _norms(group: Atoms, M: sparse.csr_array) -> list[Norm]:
    """Return one branch for each weight and number of rows."""
    assert group.lengths is not None
    source, starts = group.source, np.cumsum(group.lengths) - group.lengths
    norms = []
    for gamma, atoms, factor in _by_weight(M, 1.0):
        for length in np.unique(group.lengths[atoms]).tolist():
            chosen = group.lengths[atoms] == length
            rows = (starts[atoms[chosen]][:, None] + np.arange(length)).reshape(-1)
            scale = np.repeat(factor[chosen], length)
            C = compact(sparse.diags_array(scale) @ source.x[rows])
            norms.append(Norm(gamma, C, scale * source.constant[rows], length))
    return norms


def _layers(output: Value) -> tuple[list[Layer], Array]:
    """Return the layers, and the weights with which the output reads the last one."""
    first, last = _places(output)
    layers: list[Layer] = []
    below: dict[Atoms, int] = {}  # first unit of each group in the layer below
    width = 0
    for k in range(1, output.level + 1):
        present = sorted((g for g in last if first[g] <= k <= last[g]), key=lambda g: -first[g])
        sources = [group.source if first[group] == k else None for group in present]  # None: carried
        W = [
            _spread(_units(source), below, width, source.size) if source else _carried(group, below, width)
            for group, source in zip(present, sources, strict=True)
        ]
        n = output.x.shape[1]
        U = [s.x if s else sparse.csr_array((g.size, n)) for g, s in zip(present, sources, strict=True)]
        b = [s.constant if s else np.zeros(g.size) for g, s in zip(present, sources, strict=True)]
        layers.append(
            Layer(
                None if k == 1 else compact(sparse.vstack(W, format="csr")),
                compact(sparse.vstack(U, format="csr")),
                np.concatenate(b),
                _squares(present, sources),
                _smoothing(present, sources),
                _norms_inside(present, sources),
            )
        )
        sizes = [group.size for group in present]
        below = dict(zip(present, (np.cumsum(sizes) - sizes).tolist(), strict=True))
        width = sum(sizes)
    return layers, _spread(_units(output), below, width, 1).toarray().reshape(-1)


def _places(output: Value) -> tuple[dict[Atoms, int], dict[Atoms, int]]:
    """Return the layer of each group of units, the last that its readers allow, and the last it is carried to."""
    first: dict[Atoms, int] = {}
    last: dict[Atoms, int] = {}
    readers: list[tuple[Value, int]] = [(output, output.level + 1)]
    for level in range(output.level, -1, -1):  # a reader has a higher level than what it reads
        for reader, at in readers:
            for group in _units(reader):
                first[group] = min(first.get(group, at - 1), at - 1)
                last[group] = max(last.get(group, 0), at - 1)
        readers = [(group.source, first[group]) for group in first if group.level == level]
    return first, last


def _smoothing(present: list[Atoms], sources: list[Value | None]) -> Array:
    """Return the smoothing of each unit of a layer, 0 of those that are carried."""
    each = zip(present, sources, strict=True)
    return np.concatenate([np.full(group.size, group.smoothing if source else 0.0) for group, source in each])


def _units(value: Value) -> dict[Atoms, sparse.csr_array]:
    return {group: M for group, M in value.atoms.items() if group.kind == "relu"}


def _squares(present: list[Atoms], sources: list[Value | None]) -> Squares | None:
    """Return the quadratics inside a layer: of each unit the rows that it squares, and zeros up to a common number.

    A unit that reads all its squares with one weight has that weight as rho; otherwise rho is 1 and F holds the roots.
    """
    weights: list[Array] = []
    rows: list[Any] = []
    shifts: list[Array] = []
    units: list[IntArray] = []
    start = 0
    for group, source in zip(present, sources, strict=True):
        for squares, M in source.atoms.items() if source else ():
            if squares.kind == "square":
                coo = M.tocoo()
                weights.append(coo.data)
                units.append(start + coo.row.astype(np.int64))
                rows.append(squares.source.x[coo.col])
                shifts.append(squares.source.constant[coo.col])
        start += group.size
    if not weights:
        return None
    unit, weight = np.concatenate(units), np.concatenate(weights)
    order = np.argsort(unit, kind="stable")
    unit, weight = unit[order], weight[order]
    counts = np.bincount(unit, minlength=start)
    least, most = np.full(start, np.inf), np.zeros(start)
    np.minimum.at(least, unit, weight)
    np.maximum.at(most, unit, weight)
    rho = np.where(counts == 0, 0.0, np.where(least == most, most, 1.0))
    root = np.where(least[unit] == most[unit], 1.0, np.sqrt(weight))
    common = int(counts.max())
    place = unit * common + np.arange(len(unit)) - (np.cumsum(counts) - counts)[unit]
    spread = sparse.csr_array((root, (place, np.arange(len(unit)))), shape=(start * common, len(unit)))
    F = spread @ sparse.csr_array(sparse.vstack(rows, format="csr")[order])
    return Squares(rho, compact(F), spread @ np.concatenate(shifts)[order])


def _norms_inside(present: list[Atoms], sources: list[Value | None]) -> Norms | None:
    """Return the norms inside a layer, zeros below the rows of the shorter ones; a unit reads one at most."""
    gamma, start = np.zeros(sum(group.size for group in present)), 0
    parts: list[tuple[int, Any, Array]] = []  # unit, its rows and offsets
    for group, source in zip(present, sources, strict=True):
        for norms, M in source.atoms.items() if source else ():
            if norms.kind == "norm" and norms.lengths is not None:
                coo, ends = M.tocoo(), np.cumsum(norms.lengths)
                gamma[start + coo.row] = coo.data
                for unit, norm in zip((start + coo.row).tolist(), coo.col.tolist(), strict=True):
                    rows = slice(int(ends[norm] - norms.lengths[norm]), int(ends[norm]))
                    parts.append((unit, norms.source.x[rows], norms.source.constant[rows]))
        start += group.size
    if not parts:
        return None
    common = max(len(offsets) for _, _, offsets in parts)
    C, d = sparse.lil_array((start * common, parts[0][1].shape[1])), np.zeros(start * common)
    for unit, rows, offsets in parts:
        place = slice(unit * common, unit * common + len(offsets))
        C[place], d[place] = rows.toarray(), offsets
    return Norms(gamma, compact(C), d)


def _spread(atoms: dict[Atoms, sparse.csr_array], below: dict[Atoms, int], width: int, size: int) -> sparse.csr_array:
    """Return the coefficients of some rows on all units of the layer below."""
    total = sparse.csr_array((size, width))
    for group, M in atoms.items():
        coo = M.tocoo()
        total = total + sparse.csr_array((coo.data, (coo.row, coo.col + below[group])), shape=(size, width))
    return total


def _carried(group: Atoms, below: dict[Atoms, int], width: int) -> sparse.csr_array:
    return _spread({group: sparse.eye_array(group.size, format="csr")}, below, width, group.size)
