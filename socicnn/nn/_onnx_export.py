"""Write a network as an ONNX graph, for runtimes that know nothing of torch."""

from __future__ import annotations

import logging
import os
import warnings
from importlib import import_module

import torch

from socicnn._files import FileError, replacing
from socicnn.errors import MissingExtra, ModelError
from socicnn.frozen import FrozenNet
from socicnn.nn._checks import check_weights
from socicnn.nn._frozen_module import FrozenModule
from socicnn.nn._network import Network
from socicnn.positivity._base import evaluation_mode

RUN = (torch.float16, torch.float32, torch.float64)
# activations that onnxruntime does not run in float64: such a file could not be used
NO_FLOAT64 = frozenset({"AveragePool", "Conv", "ConvTranspose", "GlobalAveragePool", "Softplus"})


def to_onnx(model: Network | FrozenNet, path: str | os.PathLike[str], *, dtype: torch.dtype = torch.float64) -> None:
    """Write f(x) or f(x, context) as an ONNX graph (extra `onnx`).

    Its inputs are `x` of shape `(batch, *input_shape)` and, where the network takes one, `context` of shape
    `(batch, *context_shape)`; its output `value` has shape `(batch,)`. Any batch goes. Runtimes agree with torch to
    the rounding of the network's own type: float32, float16, or float64 without convolutions and softplus, of which
    onnxruntime has no float64 form. `FrozenNet.from_onnx` reads the file back.

    Args:
        model: a network, or a FrozenNet of one context, e.g. one that was imported.
        path: file to write.
        dtype: floating type of a FrozenNet in the file, one of these three; networks have their own.

    Raises:
        ModelError: the network's weights depend on data or are not finite, a number overflows or vanishes in `dtype`,
            torch cannot write it as a graph, or no runtime has the graph's operators in its floating type.
        FileError: the file cannot be written.
        MissingExtra: onnx or onnxscript is not installed.
    """
    for package in ("onnx", "onnxscript"):
        try:
            import_module(package)
        except ImportError as error:
            raise MissingExtra(f'writing ONNX needs the package {package}; run: pip install "socicnn[onnx]"') from error
    if isinstance(model, FrozenNet):
        if dtype not in RUN:
            listed = ", ".join(map(str, RUN))
            raise ModelError(f"dtype must be what runtimes run: {listed}; received {dtype!r}")
        _write(FrozenModule(model, dtype), path, "to_onnx(net, path, dtype=torch.float32)")
        return
    if model.positivity.needs_data:
        raise ModelError(
            f"the weights of the '{model.positivity.name}' recipe depend on data; call `model.finalise(train_data)` "
            "and export what it returns"
        )
    check_weights(model.positivity, model.state_dict())
    if model.dtype == torch.bfloat16:
        raise ModelError(
            "onnxruntime runs no graph in bfloat16; write the network in float32: to_onnx(model.float(), path)"
        )
    _write(model, path, "to_onnx(model.float(), path)")


def _write(model: Network | FrozenModule, path: str | os.PathLike[str], short: str) -> None:
    """Write a module as a graph; `short` is how to write it in float32, for messages."""
    shapes = {"x": model.input_shape}
    if model.context_shape is not None:
        shapes["context"] = model.context_shape
    batch = torch.export.Dim("batch")
    # two points, as torch takes a size of one for a constant
    points = tuple(torch.zeros(2, *shape, dtype=model.dtype, device=model.device) for shape in shapes.values())
    log = logging.getLogger("torch.onnx")
    level = log.level
    try:
        log.setLevel(logging.ERROR)
        with warnings.catch_warnings(), evaluation_mode(model):
            warnings.simplefilter("ignore")  # torch's exporter warns about torch's own code
            program = torch.onnx.export(
                model,
                points,
                dynamo=True,
                verbose=False,
                input_names=list(shapes),
                output_names=["value"],
                dynamic_shapes={name: {0: batch} for name in shapes},
            )
    except torch.onnx.OnnxExporterError as error:
        raise ModelError(f"torch could not write the network as an ONNX graph: {error}") from error
    finally:
        log.setLevel(level)
    if program is None:
        raise FileError(f"torch gave no graph to write to {path}")
    if model.dtype == torch.float64:
        missing = sorted(NO_FLOAT64 & {node.op_type for node in program.model_proto.graph.node})
        if missing:
            raise ModelError(
                f"the network holds {', '.join(missing)}, which onnxruntime does not run in float64; write it in "
                f"float32: {short}"
            )
    with replacing(path) as draft:
        program.save(str(draft), external_data=False)
