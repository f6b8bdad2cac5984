"""What every frozen network must do; a test class names its network and inherits the rest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cvxpy as cp
import numpy as np
import pytest
from scipy import sparse

import socicnn
import verify
from socicnn._arrays import Array
from socicnn._compile import compile_net, value_program
from socicnn.conic.export import export
from socicnn.conic.export._cbf import read_cbf
from socicnn.errors import ModelError, ProgramError
from socicnn.frozen import FrozenNet
from tests.support.cases import witness_errors
from verify.check import check

COUNT = 16


class FrozenContract:
    """Inherit, set `net` (no stacked contexts)."""

    net: FrozenNet

    def points(self, seed: int, scale: float = 1.0, count: int = COUNT) -> Array:
        return scale * np.random.default_rng(seed).normal(size=(count, self.net.in_features))

    @pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
    def test_is_convex_along_segments(self, scale: float) -> None:
        a, b = self.points(1, scale), self.points(2, scale)
        left, right = self.net(a), self.net(b)
        for t in np.linspace(0, 1, 11):
            above = self.net((1 - t) * a + t * b) - ((1 - t) * left + t * right)
            assert above.max() <= 1e-11 * (1 + np.abs(left).max() + np.abs(right).max())

    def test_freezes_to_itself(self) -> None:
        assert self.net.freeze() is self.net
        with pytest.raises(ModelError, match="already has its context"):
            self.net.freeze([1.0])

    @pytest.mark.parametrize("scale", [0.0, 1.0, 1e3])
    def test_the_witness_proves_the_forward_value(self, scale: float) -> None:
        x = self.points(3, scale)
        errors = witness_errors(compile_net(self.net), x, self.net(x))
        assert max(errors.values()) <= 1e-12, errors

    def test_certifies_with_a_bracket_in_real_arithmetic(self) -> None:
        x = self.points(4)
        certificate = verify.certify(self.net, x, proof=True)
        assert certificate.ok
        assert certificate.lo is not None
        assert certificate.hi is not None
        assert (certificate.lo <= self.net(x)).all()
        assert (self.net(x) <= certificate.hi).all()
        slope, offset = certificate.cut()
        z = self.points(5, 3.0)
        below = z @ slope.T + offset
        assert (below - self.net(z)[:, None]).max() <= 1e-11 * (1 + np.abs(below).max())

    def test_a_claim_is_checked_alone(self, tmp_path: Path) -> None:
        path = tmp_path / "claim.npz"
        verify.certify(self.net, self.points(6, count=3)).save(path)
        assert check(path).ok

    def test_a_solver_and_cvxpy_agree_with_the_forward_value(self) -> None:
        x = self.points(7)[0]
        forward = self.net(x)[0]
        solution = value_program(self.net).at(x).solve()
        assert solution.ok
        assert solution.value == pytest.approx(forward, rel=1e-6, abs=1e-6)
        z = cp.Variable(self.net.in_features)
        cost = socicnn.to_cvxpy(self.net, z)
        assert cp.Problem(cp.Minimize(cost), [z == x]).solve(cp.CLARABEL) == pytest.approx(forward, rel=1e-6, abs=1e-6)
        assert not cp.Problem(cp.Maximize(cost)).is_dcp()

    def test_exports_to_files(self, tmp_path: Path) -> None:
        program = value_program(self.net)
        for name in ("npz", "cbf"):
            export(program, tmp_path / f"p.{name}")
        back = read_cbf(tmp_path / "p.cbf")
        assert (back.A != program.free().A).nnz == 0
        assert back.cones == program.cones
        if program.cones.nonlinear:
            with pytest.raises(ProgramError, match="MPS holds linear programs"):
                export(program, tmp_path / "p.mps")
        else:
            export(program, tmp_path / "p.mps")

    def test_saves_and_loads_bit_for_bit(self, tmp_path: Path) -> None:
        path, x = tmp_path / "net.safetensors", self.points(8)
        self.net.save(path)
        loaded = FrozenNet.load(path)
        np.testing.assert_array_equal(loaded(x), self.net(x))
        one, two = compile_net(self.net).program, compile_net(loaded).program
        for name in ("A", "B"):
            assert (getattr(one, name) != getattr(two, name)).nnz == 0
        for name in ("b", "q", "d", "r"):
            np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
        assert loaded.input_shape == self.net.input_shape
        assert [norm.group for norm in loaded.norms] == [norm.group for norm in self.net.norms]
        assert socicnn.load(path, FrozenNet).fingerprint == self.net.fingerprint

    def test_what_is_not_convex_is_refused(self) -> None:
        for k, layer in enumerate(self.net.layers):
            if k:
                spoiled = [*self.net.layers[:k], replace(layer, W=-layer.W), *self.net.layers[k + 1 :]]
                with pytest.raises(ModelError, match=rf"hidden weight W of layer {k + 1} has \d+ negative entries"):
                    replace(self.net, layers=spoiled)
            if layer.inner:
                inside = replace(layer.squares, rho=layer.squares.rho - 10)
                spoiled = [*self.net.layers[:k], replace(layer, squares=inside), *self.net.layers[k + 1 :]]
                with pytest.raises(ModelError, match=rf"rho of the quadratics in layer {k + 1} has \d+ negative"):
                    replace(self.net, layers=spoiled)
        output = replace(self.net.output, w=self.net.output.w - 10)
        if self.net.layers:
            with pytest.raises(ModelError, match="output weight w has"):
                replace(self.net, output=output)

    def test_its_arrays_are_its_own_and_read_only(self) -> None:
        """What was checked stays what it was: neither the caller's arrays nor the network's own can change it."""
        before = self.net(self.points(9))
        for part in (self.net.output, *self.net.layers, *self.net.quadratics, *self.net.norms):
            for entry in vars(part).values():
                stored = [getattr(entry, "data", entry)] if sparse.issparse(entry) else [entry]
                for array in (value for value in stored if isinstance(value, np.ndarray)):
                    assert not array.flags.writeable
                    with pytest.raises(ValueError, match="read-only"):
                        array[...] = 0
        program = value_program(self.net)
        for array in (program.A.data, program.B.data, program.b, program.q, program.d, program.r):
            assert not array.flags.writeable
        np.testing.assert_array_equal(self.net(self.points(9)), before)
