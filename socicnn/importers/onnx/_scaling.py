"""Nodes that scale and shift the entries: BatchNormalization in inference, and two of ai.onnx.ml for tables."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from socicnn.importers._entries import Tensor
from socicnn.importers._value import Value
from socicnn.importers.onnx._node import Node


def batch_normalization(node: Node) -> list[Tensor]:
    """Return scale (x - mean) / sqrt(variance + epsilon) + shift, per channel."""
    value = node.first()
    if node.settings.get("training_mode", 0):
        raise node.refused("is in training mode and normalises by its batch; export the network in evaluation mode")
    if not node.settings.get("spatial", 1):
        raise node.refused("has spatial 0, weights of its own for each position, which is not read")
    named = ("a scale", "a shift", "a mean", "a variance")
    scale, shift, mean, variance = (node.constant(1 + i, what).astype(np.float64) for i, what in enumerate(named))
    channels = (-1, *(1 for _ in value.shape[2:]))
    factor = scale / np.sqrt(variance + float(node.settings.get("epsilon", np.float32(1e-5))))
    scaled = value.times(factor.reshape(channels)).plus((shift - mean * factor).reshape(channels))
    return [replace(scaled, origin=node.words)]


def scaler(node: Node) -> list[Tensor]:
    """Return (x - offset) * scale; the result is float32, whatever x is."""
    offset, scale = (np.asarray(node.settings[name], dtype=np.float64) for name in ("offset", "scale"))
    shifted = node.first().plus(-offset)
    return [replace(shifted.times(scale), origin=node.words, kind="float32")]


def linear_regressor(node: Node) -> list[Tensor]:
    """Return x C' + b, one row of C per target; the result is float32, whatever x is."""
    kind = node.settings.get("post_transform", "NONE")
    if kind != "NONE":
        raise node.refused(f"has post_transform '{kind}', which is not read")
    value = node.first()
    targets = int(node.settings.get("targets", 1))
    C = np.asarray(node.settings["coefficients"], dtype=np.float64).reshape(targets, -1)
    b = np.asarray(node.settings.get("intercepts") or [0.0] * targets, dtype=np.float64)
    rows = value.reshaped((-1, C.shape[1])) if len(value.shape) == 1 else value
    return [replace(_times(rows, C).plus(b), origin=node.words, kind="float32")]


def _times(value: Value, C: np.ndarray) -> Value:
    """Return x C' for rows of x."""
    rows, n = value.shape
    spread = np.zeros((rows * len(C), rows * n))
    for row in range(rows):
        spread[row * len(C) : (row + 1) * len(C), row * n : (row + 1) * n] = C
    return value.mapped(spread, (rows, len(C)))
