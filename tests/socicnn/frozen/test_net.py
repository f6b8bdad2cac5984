"""FrozenNet: the reference forward pass, and every refusal."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from scipy import sparse

from socicnn._compile import value_program
from socicnn.errors import ModelError
from socicnn.frozen import FrozenNet, Layer, Norm, Output, Quadratic

PARTS = ("layers", "output", "quadratics", "norms")


def _net(**changes):
    rng = np.random.default_rng(0)
    parts = {
        "layers": [
            Layer(None, rng.normal(size=(4, 3)), rng.normal(size=4)),
            Layer(rng.uniform(size=(2, 4)), None, rng.normal(size=2)),
        ],
        "output": Output(rng.uniform(size=2), rng.normal(size=3), 0.5),
        "quadratics": [Quadratic(0.5, rng.normal(size=(2, 3)), rng.normal(size=2))],
        "norms": [Norm(2.0, rng.normal(size=(4, 3)), rng.normal(size=4), group=2)],
    }
    return FrozenNet(**(parts | changes))


def test_forward_is_the_formula_written_out() -> None:
    net, x = _net(), np.array([0.3, -0.2, 1.1])
    first, second = net.layers
    z = np.maximum(first.U @ x + first.b[0], 0)
    z = np.maximum(second.W @ z + second.b[0], 0)
    p = net.quadratics[0].A @ x + net.quadratics[0].e[0]
    u = net.norms[0].C @ x + net.norms[0].d[0]
    expected = net.output.w @ z + net.output.v @ x + 0.5 + 0.5 * p @ p
    expected += 2 * (np.hypot(u[0], u[1]) + np.hypot(u[2], u[3]))
    assert net(x) == pytest.approx(expected, rel=1e-14)


def test_sparse_and_dense_matrices_give_the_same_network() -> None:
    dense, x = _net(), np.random.default_rng(1).normal(size=(5, 3))
    layers = [Layer(sparse.csc_matrix(k.W), sparse.coo_array(k.U), k.b) for k in dense.layers]
    norms = [Norm(n.gamma, sparse.csr_matrix(n.C), n.d, n.group) for n in dense.norms]
    np.testing.assert_allclose(_net(layers=layers, norms=norms)(x), dense(x), rtol=1e-14)


def test_stacked_contexts_select_to_single_networks() -> None:
    rng = np.random.default_rng(2)
    net = _net(output=Output(rng.uniform(size=(6, 2)), np.ones(3), rng.normal(size=6)))
    x = rng.normal(size=(6, 3))
    assert net.contexts == 6
    np.testing.assert_array_equal(net(x), [net[i](x[i])[0] for i in range(6)])


def test_what_contexts_share_has_an_axis_of_length_one() -> None:
    """Given without the axis or with it, alone or beside stacked vectors: it is the same network."""
    rng = np.random.default_rng(2)
    plain, c = _net(), rng.normal(size=6)
    first, second = plain.layers
    assert (first.b.shape, plain.output.v.shape, plain.output.c.shape) == ((1, 4), (1, 3), (1,))
    assert FrozenNet(**{name: getattr(plain, name) for name in PARTS}).fingerprint == plain.fingerprint
    stack = _net(output=replace(plain.output, c=c))
    whole = replace(stack, layers=[replace(first, b=np.repeat(first.b, 6, axis=0)), second])
    assert stack.contexts == whole.contexts == 6
    assert stack.fingerprint == whole.fingerprint
    assert stack[::2].fingerprint == whole[[0, 2, 4]].fingerprint
    assert stack[-1].fingerprint == _net(output=replace(plain.output, c=c[5])).fingerprint


def test_a_stack_of_one_is_told_from_a_network_without_contexts(tmp_path: Path) -> None:
    net = _net()
    one = replace(net, contexts=1)
    assert (net.contexts, net.batch, one.contexts, one.batch) == (None, (), 1, (1,))
    assert value_program(net).b.ndim == 1
    assert value_program(one).b.shape == (1, *value_program(net).b.shape)
    assert one.fingerprint != net.fingerprint == one[0].fingerprint
    assert one[0:1].fingerprint == one.fingerprint
    with pytest.raises(IndexError):
        one[1]
    one.save(tmp_path / "net.safetensors")
    loaded = FrozenNet.load(tmp_path / "net.safetensors")
    assert (loaded.contexts, loaded.fingerprint) == (1, one.fingerprint)
    two = replace(net, contexts=2)
    assert (two[0:1].contexts, two[1].contexts) == (1, None)
    x = np.ones((2, 3))
    np.testing.assert_array_equal(two(x), net(x))
    assert replace(net, contexts=np.int64(2)).fingerprint == two.fingerprint
    for wrong in (-1, 1.0, "two", True):
        with pytest.raises(ModelError, match="contexts must be an integer >= 0; received"):
            replace(net, contexts=wrong)
    with pytest.raises(ModelError, match="output offset c has 3 contexts, other arrays 2"):
        replace(two, output=replace(net.output, c=np.zeros(3)))


def test_arrays_are_its_own_so_that_training_on_changes_nothing() -> None:
    weight, U = torch.ones(2, dtype=torch.float64), np.ones((2, 3))
    net = FrozenNet([Layer(None, U, [0.0, 0.0])], Output(weight, [0.0] * 3))
    before = net([1.0, 1.0, 1.0])
    weight.mul_(5)
    U *= 7
    assert net([1.0, 1.0, 1.0]) == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"output": Output([-1.0, 1.0], [0.0] * 3)}, r"output weight w has 1 negative entries \(least -1.0e\+00\)"),
        ({"output": Output([1.0, 1.0], [np.nan, 0, 0])}, "output weight v has 1 non-finite"),
        ({"output": Output([1.0, 1.0, 1.0], [0.0] * 3)}, "output weight w must have length 2"),
        ({"quadratics": [Quadratic(-0.1, np.eye(3))]}, "beta of quadratic branch 1 has 1 negative.*finalise"),
        ({"quadratics": [Quadratic(1.0, np.eye(4))]}, r"A of quadratic branch 1 must have shape \(rows, 3\)"),
        ({"norms": [Norm(-1e-9, np.eye(3))]}, "gamma of norm branch 1 has 1 negative"),
        ({"norms": [Norm(1.0, np.eye(3), group=2)]}, "3 rows, which groups of 2 do not divide"),
        ({"norms": [Norm(1.0, np.zeros((0, 3)))]}, "no rows"),
        ({"layers": [Layer(np.ones((2, 2)), None, [0, 0])]}, "must be None in the first layer"),
        ({"layers": [Layer(None, None, [0, 0]), Layer(None, None, [0, 0])]}, "layer 2 is missing"),
        (
            {"layers": [Layer(None, None, [0, 0]), Layer([[1, -2], [0, 1]], None, [0, 0])]},
            r"hidden weight W of layer 2 has 1 negative entries \(least -2.0e\+00\); call `model.finalise\(\)`",
        ),
        ({"layers": [Layer(None, np.ones((2, 3)), [np.inf, 0])]}, "bias b of layer 1 has 1 non-finite"),
        ({"layers": [Layer(None, np.ones((2, 4)), [0, 0])]}, r"U of layer 1 must have shape \(2, 3\)"),
        ({"input_shape": (2, 2)}, "does not hold the 3 inputs"),
        ({"input_shape": 2}, r"input_shape \(2,\) does not hold the 3 inputs"),
        ({"input_shape": 3.0}, r"must be a tuple of integers, such as \(3, 8, 8\); received 3.0"),
        ({"input_shape": "3"}, "each entry of input_shape must be an integer >= 0; received '3'"),
        ({"input_shape": (-3, -1)}, "each entry of input_shape must be an integer >= 0; received -3"),
    ],
)
def test_refusals_name_the_array_and_the_mend(changes, message) -> None:
    with pytest.raises(ModelError, match=message):
        _net(**changes)


@pytest.mark.parametrize("shape", [None, 3, np.int64(3), (3,), [3], np.array([3])])
def test_a_shape_of_one_axis_may_be_one_integer(shape) -> None:
    assert _net(input_shape=shape).input_shape == (3,)


def test_what_is_left_out_is_an_empty_array(tmp_path: Path) -> None:
    """W has no columns in the first layer, U of a network n columns without entries, quadratics no rows."""
    net = FrozenNet([Layer(None, None, [1.0, 2.0]), Layer(np.eye(2), None, [0.0, -1.0])], Output([1.0, 1.0], [0.0] * 3))
    first, second = net.layers
    assert (first.W.shape, first.U.shape, first.squares.F.shape) == ((2, 0), (2, 3), (0, 3))
    assert second.U.shape == (2, 3)
    assert first.U.size == second.U.size == 0
    assert first.inner == second.inner == ()
    np.testing.assert_array_equal(net(np.zeros((1, 3))), [2.0])
    net.save(tmp_path / "net.safetensors")
    arrays = {name for name in load_file(tmp_path / "net.safetensors") if name.startswith("layers.")}
    assert arrays == {"layers.0.b", "layers.1.b", "layers.1.W"}
    again = FrozenNet.load(tmp_path / "net.safetensors")
    assert again.fingerprint == net.fingerprint == FrozenNet(net.layers, net.output).fingerprint


def test_no_entries_in_W_is_not_left_out(tmp_path: Path) -> None:
    layers = [Layer(None, np.eye(2), [1.0, 2.0]), Layer(sparse.csr_array((2, 2)), None, [3.0, -1.0])]
    net = FrozenNet(layers, Output([1.0, 1.0], [0.0] * 2))
    net.save(tmp_path / "net.safetensors")
    assert FrozenNet.load(tmp_path / "net.safetensors").fingerprint == net.fingerprint


def test_points_of_the_wrong_shape_or_not_finite_are_refused() -> None:
    with pytest.raises(ModelError, match=r"shape \(\*batch, 3\); received shape \(2,\)"):
        _net()([1.0, 2.0])
    with pytest.raises(ModelError, match="1 non-finite entries, the first in row 0"):
        _net()([1.0, np.nan, 0.0])
    with pytest.raises(ModelError, match="leave `context` out"):
        _net().freeze([1.0])


def test_the_arrays_of_the_caller_are_copied() -> None:
    W, U, b, v = np.ones((1, 2)), np.eye(2), np.zeros(2), np.zeros(2)
    A = sparse.csr_array(np.eye(2))
    net = FrozenNet([Layer(None, U, b), Layer(W, None, [0.0])], Output([1.0], v), [Quadratic(1.0, A)])
    x = np.ones((1, 2))
    before, mark = net(x), net.fingerprint
    for array in (W, U, b, v, A.data):
        array[...] = 7.0  # the caller's own stay writable
    assert net(x) == before
    assert replace(net).fingerprint == mark


def test_a_read_out_without_v_says_what_to_give() -> None:
    with pytest.raises(ModelError, match=r"output weight v tells the length n of x: .* zeros of shape \(n,\)"):
        Output([1.0], None)
