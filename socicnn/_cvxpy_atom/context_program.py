"""How the context of a network moves its program: b, q, d and r are affine in the vectors that the network emits.

In standardised units an entry of b, q, d or r is mostly a multiple of one entry of the vectors, or a constant. Which
one, and the multiple, are read off from the network with numbers in its vectors that tell their place. Standardisation
f(x) = y_mean + y_scale g((x - m) / s) then changes the program like this:

    b <- b - B m/s,   q <- y_scale q,   d <- y_scale d / s,   r <- y_mean + y_scale (r - d'm/s)
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from socicnn._arrays import Array, IntArray
from socicnn._compile import PIECES, Compiled, Piece, compile_net
from socicnn.errors import ModelError
from socicnn.nn._checks import one_or_many
from socicnn.nn._network import Network
from socicnn.positivity._base import evaluation_mode

ROUNDING = 1e-12  # of the program's entries, relative to the largest


@dataclass(eq=False)
class ContextProgram:
    """The program of a network as a function of its context.

    Args:
        template: the network and its program as a stack of contexts, all branches in it.
        vectors: source of the network's vectors.
        standardisation: of the context.
        context_shape: shape of one context.
        names: vectors that the context moves, in the order of the columns of `weights`.
        moved: the pieces that it moves, in the order of the rows.
        sizes: their lengths.
        weights: shape `(rows, entries)`.
        constants: shape `(rows,)`.
    """

    template: Compiled
    vectors: Any
    standardisation: Any
    context_shape: tuple[int, ...]
    names: tuple[str, ...]
    moved: tuple[Piece, ...]
    sizes: tuple[int, ...]
    weights: sparse.csr_array
    constants: Array

    @classmethod
    def of(cls, model: Any, *, live: bool = False) -> ContextProgram:
        """Return the map of a network.

        Args:
            model: a network with a context.
            live: whether later changes of the weights that emit the vectors are seen; the matrices never change.

        Raises:
            ModelError: it has no context, or cannot be exported.
        """
        if not isinstance(model, Network):
            raise ModelError(
                f"a context that is a Parameter needs a network of socicnn.nn; received {type(model).__name__}: give "
                "the network itself, not frozen"
            )
        if model.context_shape is None:
            raise ModelError("context was given, but the network takes none (context_features is 0); leave it out")
        nothing = np.zeros((2, *model.context_shape))  # a stack keeps branches without weight in the program
        template = compile_net(model.freeze(nothing))
        with torch.no_grad():
            emitted = model.vectors.frozen(model.standard_context(nothing[0]))
        names = tuple(name for name in emitted if name in model.vectors.moving)
        columns = _columns(emitted, names)
        pieces = _folded(model, template.program.B, _linear_in(model, emitted, columns))
        moved = tuple(name for name in PIECES if pieces[name][0][:, columns].nnz)
        rows = sparse.csr_array(sparse.vstack([pieces[name][0] for name in moved]))
        flat = np.concatenate([vector.reshape(-1) for vector in emitted.values()])
        flat[columns] = 0.0
        return cls(
            template,
            model.vectors if live else copy.deepcopy(model.vectors),
            model.standardisation if live else copy.deepcopy(model.standardisation),
            model.context_shape,
            names,
            moved,
            tuple(pieces[name][0].shape[0] for name in moved),
            sparse.csr_array(rows[:, columns]),
            np.concatenate([pieces[name][1] for name in moved]) + rows @ flat,
        )

    @torch.no_grad()
    def at(self, context: Any) -> dict[Piece, Array]:
        """Return the moved pieces at one context, vectors emitted in the network's own type and then lifted."""
        theta = one_or_many(context, self.context_shape)
        assert theta is not None
        mean = self.standardisation.x_mean
        standard = self.standardisation.exact("context", theta).to(mean.device, mean.dtype)
        vectors = self.vectors.frozen(standard)
        values = self.constants + self.weights @ np.concatenate([vectors[name].reshape(-1) for name in self.names])
        parts = np.split(values, np.cumsum(self.sizes)[:-1])
        return dict(zip(self.moved, parts, strict=True))

    def differentiable(self, context: Tensor) -> dict[Piece, Tensor]:
        """Return the moved pieces as float64 tensors that carry gradients, weights read as in evaluation mode.

        Args:
            context: shape `(*batch, *context_shape)`.

        Returns:
            Each piece with the shape of the batch in front.
        """
        lead = context.shape[: context.ndim - len(self.context_shape)]
        mean = self.standardisation.x_mean
        standard = self.standardisation.exact("context", context.double()).to(mean.device, mean.dtype)
        with evaluation_mode(self.vectors):
            vectors = self.vectors(standard)
        flat = torch.cat([vectors[name].reshape(*lead, -1).double() for name in self.names], dim=-1)
        entries = sparse.coo_array(self.weights)
        weights = torch.sparse_coo_tensor(
            torch.as_tensor(np.stack(entries.coords)),
            torch.as_tensor(entries.data),
            entries.shape,
            device=flat.device,
            check_invariants=True,
        )
        values = torch.sparse.mm(weights, flat.reshape(-1, flat.shape[-1]).T).T.reshape(*lead, -1)
        values = values + torch.as_tensor(self.constants, device=flat.device)
        return dict(zip(self.moved, values.split(list(self.sizes), dim=-1), strict=True))


def _columns(emitted: dict[str, Array], names: tuple[str, ...]) -> Any:
    """Return the places of the entries of some vectors among those of all."""
    stops = np.cumsum([vector.size for vector in emitted.values()])
    places = {
        name: np.arange(stop - vector.size, stop) for (name, vector), stop in zip(emitted.items(), stops, strict=True)
    }
    return np.concatenate([places[name] for name in names])


def _linear_in(
    model: Network, emitted: dict[str, Array], moving: IntArray
) -> dict[Piece, tuple[sparse.csr_array, Array]]:
    """Return weights `(rows, entries)` and constants `(rows,)` of each piece, in standardised units.

    Entry j of the vectors is set to 0, then to j + 1, then to (j + 1)^2: two quotients give j and its weight. If an
    entry of the program mixes several, each entry of the vectors is set to one by itself. If it holds products, as of
    a slope and a bias, the entries that the context leaves alone stay as they are, and belong to the constants.

    Args:
        model: the network.
        emitted: its vectors at any context.
        moving: the places of the entries that the context moves.

    Raises:
        ModelError: the program is not affine in the vectors.
    """
    count = sum(vector.size for vector in emitted.values())
    codes = 1.0 + np.arange(count)
    trial = np.random.default_rng(0).uniform(0.5, 1.5, count)
    coded = _pieces_at(model, emitted, np.stack([0.0 * codes, codes, codes**2, trial]))
    pieces = {name: (_decoded(values, count), values[0]) for name, values in coded.items()}
    truth = {name: values[3] for name, values in coded.items()}
    if not _agree(pieces, trial, truth):
        single = _pieces_at(model, emitted, np.eye(count))
        pieces = {name: (sparse.csr_array((single[name] - k).T), k) for name, (_, k) in pieces.items()}
    if not _agree(pieces, trial, truth):
        still = np.concatenate([vector.reshape(-1) for vector in emitted.values()])
        still[moving] = 0.0
        units = np.zeros((len(moving), count))
        units[np.arange(len(moving)), moving] = 1.0
        known = np.setdiff1d(np.arange(count), moving)
        trial[known] = still[known]
        values = _pieces_at(model, emitted, still + np.vstack([0.0 * still, units, trial - still]))
        pieces = {}
        for name, value in values.items():
            weights = sparse.lil_array((value.shape[1], count))
            weights[:, moving] = (value[1:-1] - value[0]).T
            pieces[name] = (sparse.csr_array(weights), value[0])
        if not _agree(pieces, trial, {name: value[-1] for name, value in values.items()}):
            raise ModelError(
                f"the program of {type(model).__name__} holds products of what its context moves, so that the context "
                "cannot be a Parameter; give it as an array, and make the problem anew for each"
            )
    return pieces


def _pieces_at(model: Network, emitted: dict[str, Array], flat: Array) -> dict[Piece, Array]:
    """Return the pieces of the program, shape `(count, rows)`, where the vectors have the entries of each row."""
    parts = np.split(flat, np.cumsum([vector.size for vector in emitted.values()])[:-1], axis=1)
    vectors = {
        name: part.reshape(len(flat), *vector.shape)
        for (name, vector), part in zip(emitted.items(), parts, strict=True)
    }
    with torch.no_grad():
        program = compile_net(model.assemble(vectors)).program
    return {name: getattr(program, name).reshape(len(flat), -1) for name in PIECES}


def _decoded(values: Array, count: int) -> sparse.csr_array:
    """Return the weights of a piece each of whose entries is a multiple of one entry of the vectors."""
    constant, first, second = values[:3]
    rows = np.flatnonzero(first - constant)
    once, twice = (first - constant)[rows], (second - constant)[rows]
    code = np.clip(np.rint(twice / once), 1, count)
    return sparse.csr_array((once / code, (rows, code.astype(np.int64) - 1)), shape=(len(constant), count))


def _agree(pieces: dict[Piece, tuple[sparse.csr_array, Array]], trial: Array, truth: dict[Piece, Array]) -> bool:
    """Return whether weights and constants give the pieces at a trial."""
    return all(
        bool((np.abs(weights @ trial + k - truth[name]) <= ROUNDING * np.abs(truth[name]).max(initial=1.0)).all())
        for name, (weights, k) in pieces.items()
    )


def _folded(
    model: Network, B: sparse.csr_array, pieces: dict[Piece, tuple[sparse.csr_array, Array]]
) -> dict[Piece, tuple[sparse.csr_array, Array]]:
    """Return the same in the user's own units; B is in these already, so that B m here is B m/s above."""
    mean, scale, y_mean, y_scale = model.standardisation.numbers(model.input_shape)
    (Mb, kb), (Mq, kq), (Md, kd), (Mr, kr) = (pieces[name] for name in PIECES)
    return {
        "b": (Mb, kb - B @ mean),
        "q": (sparse.csr_array(y_scale * Mq), y_scale * kq),
        "d": (sparse.csr_array(sparse.diags_array(y_scale / scale) @ Md), y_scale / scale * kd),
        "r": (
            sparse.csr_array(y_scale * (Mr - sparse.csr_array((mean / scale)[None, :]) @ Md)),
            y_mean + y_scale * (kr - (mean / scale) @ kd),
        ),
    }
