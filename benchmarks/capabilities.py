"""What every architecture can be used for: a table each field of which is computed by doing it, on a small network.

python -m benchmarks.capabilities [--write] [--only softplus]

`--write` puts the table into docs/results/capabilities.md, which a test holds to what is computed. A field is "yes" if
the network's own value comes back at a point, within the accuracy of what gives it, or is proven; else what is said.
"""

from __future__ import annotations

import argparse
import copy
import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

import socicnn
import verify
from benchmarks.small_networks import NETWORKS
from decision import Box, decide
from experiments.engine.tables import markdown
from socicnn._arrays import Array
from socicnn.conic import export
from socicnn.errors import SocicnnError
from socicnn.frozen import FrozenNet
from socicnn.nn import Network, to_onnx

PAGE = Path(__file__).parents[1] / "docs" / "results" / "capabilities.md"
EXTRAS = {"balls": ("flint",), "ONNX out": ("onnxscript", "onnxruntime"), "ONNX in": ("onnxscript", "onnxruntime")}


class WrongValue(Exception):
    """What came back is not the network's value."""


@dataclass
class Subject:
    """A network and a point of its own.

    Args:
        model: a network or a FrozenNet.
        theta: its context, or None.
    """

    model: Any
    theta: Array | None

    @property
    def contexts(self) -> tuple[Array, ...]:
        """The context as arguments."""
        return () if self.theta is None else (self.theta,)

    @cached_property
    def x(self) -> Array:
        """A point, flattened."""
        return np.random.default_rng(1).normal(size=int(np.prod(self.net.input_shape)))

    @cached_property
    def net(self) -> FrozenNet:
        """The network as arrays."""
        frozen: FrozenNet = self.model.freeze(*self.contexts)
        return frozen

    @cached_property
    def value(self) -> float:
        """f(x) by the network itself."""
        if isinstance(self.model, FrozenNet):
            return float(self.model(self.x)[0])
        arguments = [torch.tensor(part).double() for part in (self.x.reshape(self.net.input_shape), *self.contexts)]
        with torch.no_grad():
            return float(copy.deepcopy(self.model).double()(*(part[None] for part in arguments)))

    def demand(self, value: float, tolerance: float) -> None:
        """Raise a WrongValue where a value is further from f(x) than the tolerance."""
        if not abs(value - self.value) <= tolerance * (1 + abs(self.value)):
            raise WrongValue(f"{value:.9g} where the network has {self.value:.9g}")

    @cached_property
    def graph(self) -> Path:
        """The network as an ONNX graph in float32."""
        path = Path(tempfile.mkdtemp()) / "model.onnx"
        if isinstance(self.model, Network):
            to_onnx(copy.deepcopy(self.model).float(), path)
        else:
            to_onnx(self.net, path, dtype=torch.float32)
        return path

    @property
    def fixed(self) -> dict[str, Array]:
        """Inputs of the graph other than x."""
        taken = isinstance(self.model, Network) and self.theta is not None
        return {"context": np.asarray(self.theta)} if taken else {}


def _program(subject: Subject) -> None:
    program = socicnn.value_program(subject.model, *subject.contexts)
    assert program.A.shape[0] == program.cones.rows


def _solver(subject: Subject) -> None:
    subject.demand(socicnn.value_program(subject.net).at(subject.x).solve().value, 1e-5)


def _cvxpy(subject: Subject) -> None:
    import cvxpy as cp

    x = cp.Variable(len(subject.x))
    problem = cp.Problem(cp.Minimize(socicnn.to_cvxpy(subject.net, x)), [x == subject.x])
    subject.demand(float(problem.solve(solver="CLARABEL")), 1e-5)


def _cbf(subject: Subject) -> None:
    path = Path(tempfile.mkdtemp()) / "cost.cbf"
    export.export(socicnn.value_program(subject.net).at(subject.x), path)
    read: Any = export.read(path)
    subject.demand(read.solve().value, 1e-5)


def _certificate(subject: Subject, proof: Any = True) -> None:
    certificate = verify.certify(subject.model, subject.x[None], *subject.contexts, proof=proof)
    if not certificate.ok or certificate.lo is None or certificate.hi is None:
        raise WrongValue(certificate.summary())
    subject.demand(float(certificate.lo[0]), 1e-10)
    subject.demand(float(certificate.hi[0]), 1e-10)


def _decide(subject: Subject) -> None:
    answer = decide(subject.model, Box(len(subject.x), -1, 1), *subject.contexts)
    if not answer.certified.all():
        raise WrongValue(" ".join(answer.notes) or "not certified")
    if any("plain float64" in note for note in answer.notes):
        raise WrongValue("the gap is in plain float64")


def _onnx_out(subject: Subject) -> None:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(subject.graph), options, providers=["CPUExecutionProvider"])
    feed = {"x": subject.x.reshape(1, *subject.net.input_shape), **{k: v[None] for k, v in subject.fixed.items()}}
    (value,) = session.run(["value"], {name: array.astype(np.float32) for name, array in feed.items()})
    subject.demand(float(value[0]), 1e-4)


def _onnx_in(subject: Subject) -> None:
    subject.demand(float(FrozenNet.from_onnx(subject.graph, fixed=subject.fixed)(subject.x)[0]), 1e-4)


FIELDS: dict[str, Callable[[Subject], None]] = {
    "program": _program,
    "solver": _solver,
    "CVXPY": _cvxpy,
    "CBF": _cbf,
    "certificate": _certificate,
    "balls": lambda subject: _certificate(subject, "balls"),
    "decide": _decide,
    "ONNX out": _onnx_out,
    "ONNX in": _onnx_in,
}


def field(subject: Subject, name: str) -> str:
    """Return "yes", or why not."""
    try:
        FIELDS[name](subject)
    except (SocicnnError, WrongValue) as error:
        return f"no: {' '.join(str(error).split())[:150]}"
    return "yes"


def subject_of(name: str) -> Subject:
    """Return a network of this architecture, and its context."""
    model = NETWORKS[name](torch.Generator().manual_seed(0))
    model = model.double() if isinstance(model, torch.nn.Module) else model
    shape = getattr(model, "context_shape", None)
    if name == "ensemble":
        shape = model.models[0].context_shape
    return Subject(model, None if shape is None else np.random.default_rng(2).normal(size=shape))


def row(name: str) -> dict[str, str]:
    """Return the fields of an architecture."""
    subject = subject_of(name)
    return {"architecture": name, **{column: field(subject, column) for column in FIELDS}}


def page(rows: list[dict[str, str]]) -> str:
    """Return the page with these rows in place of its table."""
    table = markdown(rows, ["architecture", *FIELDS])
    return re.sub(r"(?ms)^\| architecture .*?(?=\n\n)", lambda match: table.strip(), PAGE.read_text("utf-8"), count=1)


def main() -> None:
    """Compute the table, print it, and write it if it is asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", default="", help="part of the names of the architectures to compute")
    parser.add_argument("--write", action="store_true", help="put the table into docs/results/capabilities.md")
    options = parser.parse_args()
    rows = [row(name) for name in NETWORKS if options.only in name]
    print(markdown(rows, ["architecture", *FIELDS]))
    if options.write and not options.only:
        PAGE.write_text(page(rows), "utf-8")


if __name__ == "__main__":
    main()
