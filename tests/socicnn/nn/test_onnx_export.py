"""Networks as ONNX graphs: the same values in onnxruntime, and the same frozen network when read back."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import sparse

from socicnn import ICNN, SOCICNN
from socicnn._files import FileError
from socicnn.errors import MissingExtra, ModelError
from socicnn.frozen import FrozenNet, Layer, Logistic, LogSumExp, Norm, Output, Quadratic, Squares
from socicnn.nn._convolutional import ConvSOCICNN
from socicnn.nn._geometry import AveragePool, Conv
from socicnn.nn._onnx_export import NO_FLOAT64, to_onnx
from socicnn.nn._recurrent import RecurrentSOCICNN

pytestmark = pytest.mark.extra


for package in ("onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(package, reason=f"{package} is not installed")


def session(path: Path):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def draw(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(3))


def networks() -> dict[str, torch.nn.Module]:
    make = torch.Generator().manual_seed(1)
    plain = SOCICNN(4, (6, 5), (3, "diagonal"), (2,), generator=make, positivity="softplus")
    plain.standardise(x_mean=[1.0, 2, 3, 4], x_scale=[1.0, 2, 1, 2], y_mean=5.0, y_scale=3.0)
    return {
        "plain": plain,
        "partial": SOCICNN(4, (6, 5), (3,), (2, 4), context_features=3, generator=make),
        "images": ConvSOCICNN(
            (2, 6, 5),
            (3, AveragePool(2, 1), Conv(2, stride=2), Conv(3, stride=2, transposed=True)),
            (Conv(2),),
            (Conv(4, group=2),),
            context_channels=1,
            generator=make,
        ),
        "sequences": RecurrentSOCICNN(
            (5, 2), 4, (Conv(2), "diagonal"), (Conv(4, group=2), 3), context_features=2, context="joint", generator=make
        ),
        "sequences, a weight per step": RecurrentSOCICNN(
            (5, 2), 4, (Conv(2), 2), (Conv(2), ("diagonal", 1)), shared=False, context_channels=3, generator=make
        ),
        "joint": SOCICNN(4, (6, 5), (3,), (2,), context_features=2, context="joint", generator=make),
        "leaky": SOCICNN(4, (6, 5, 4), (3,), (2,), activation="leaky_relu", negative_slope=0.25, generator=make),
        "maxout": ICNN(4, (6, 5), activation="maxout", context_features=2, context="joint", generator=make),
        "leaky above softplus": ICNN(4, (6, 5, 4), activation=("softplus", "leaky_relu", "softplus"), generator=make),
        "branches": SOCICNN(4, (5,), (2,), (2,), logsumexp=(3, 4), logistic=(2,), context_features=2, generator=make),
        "smooth": ICNN(4, (6, 5), activation="softplus", context_features=2, context="joint", generator=make),
    }


@pytest.mark.parametrize(
    "name",
    [
        "plain",
        "partial",
        "joint",
        "images",
        "sequences",
        "sequences, a weight per step",
        "smooth",
        "branches",
        "leaky",
        "maxout",
        "leaky above softplus",
    ],
)
def test_values_agree_and_the_graph_is_read_back(name: str, tmp_path: Path) -> None:
    model = networks()[name].train()
    path = tmp_path / "model.onnx"
    to_onnx(model, path)
    assert model.training
    run = session(path)
    for count in (1, 2, 7):  # any batch
        inputs = {"x": 3 * draw(count, *model.input_shape)}
        if model.context_shape:
            inputs["context"] = draw(count, *model.context_shape)
        with torch.no_grad():
            truth = model(*inputs.values()).numpy()
        (found,) = run.run(["value"], {key: value.numpy() for key, value in inputs.items()})
        assert found.shape == (count,)
        np.testing.assert_allclose(found, truth, rtol=5e-6, atol=5e-6 * (1 + np.abs(truth).max()))
    x = 3 * draw(20, *model.input_shape).double().numpy()
    theta = None if model.context_shape is None else draw(*model.context_shape).double().numpy()
    back = FrozenNet.from_onnx(path, fixed=None if theta is None else {"context": theta})
    frozen = model.freeze() if theta is None else model.freeze(theta)
    assert back.hidden_features == frozen.hidden_features
    assert back.input_shape == frozen.input_shape
    assert len(back.norms) == len(frozen.norms)
    assert [float(layer.smoothing) for layer in back.layers] == [float(layer.smoothing) for layer in frozen.layers]
    np.testing.assert_allclose(back(x), frozen(x), rtol=1e-5, atol=1e-5)


def truth_and_found(model: torch.nn.Module, path: Path) -> tuple[np.ndarray, np.ndarray]:
    inputs = {"x": 3 * draw(5, *model.input_shape).to(model.dtype)}
    if model.context_shape:
        inputs["context"] = draw(5, *model.context_shape).to(model.dtype)
    with torch.no_grad():
        truth = model(*inputs.values()).double().numpy()
    (found,) = session(path).run(["value"], {key: value.numpy() for key, value in inputs.items()})
    return truth, found.astype(float)


@pytest.mark.parametrize(("name", "holds"), [("plain", ""), ("images", "AveragePool, Conv, ConvTranspose, Softplus"),
                                             ("sequences", "Conv"), ("smooth", "Softplus"), ("leaky", ""),
                                             ("maxout", "")])  # fmt: skip
def test_float64_is_written_where_a_runtime_runs_it(name: str, holds: str, tmp_path: Path) -> None:
    model = networks()[name].double()
    path = tmp_path / "model.onnx"
    if holds:
        said = rf"the network holds {holds}, which onnxruntime does not run in float64; .* to_onnx\(model.float\("
        with pytest.raises(ModelError, match=said):
            to_onnx(model, path)
        assert not path.exists()
        return
    to_onnx(model, path)
    truth, found = truth_and_found(model, path)
    np.testing.assert_allclose(found, truth, rtol=1e-13, atol=1e-13 * np.abs(truth).max())


@pytest.mark.parametrize("kind", sorted(NO_FLOAT64))
def test_the_list_of_what_runs_in_float32_alone_is_right(kind: str) -> None:
    """The day onnxruntime runs one of them in float64, this test says so."""
    import onnx
    import onnxruntime

    weight = {"Conv": ["w"], "ConvTranspose": ["w"]}.get(kind, [])
    settings = {"kernel_shape": [2]} if kind == "AveragePool" else {}
    for dtype, code in ((np.float32, 1), (np.float64, 11)):
        node = onnx.helper.make_node(kind, ["x", *weight], ["y"], **settings)
        info = onnx.helper.make_tensor_value_info
        values = [onnx.numpy_helper.from_array(np.ones((2, 2, 2), dtype), "w")] if weight else []
        graph = onnx.helper.make_graph([node], "g", [info("x", code, [1, 2, 4])], [info("y", code, None)], values)
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=9)
        content = model.SerializeToString()
        if dtype is np.float32:
            onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
        else:
            with pytest.raises(Exception, match="Could not find an implementation"):
                onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("name", ["plain", "images", "smooth"])
def test_short_types(name: str, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    to_onnx(networks()[name].half(), path)
    truth, found = truth_and_found(networks()[name].half(), path)
    np.testing.assert_allclose(found, truth, rtol=2e-2, atol=2e-2 * np.abs(truth).max())
    with pytest.raises(ModelError, match=r"runs no graph in bfloat16; .* to_onnx\(model.float\(\), path\)"):
        to_onnx(networks()[name].bfloat16(), path)


def inside() -> FrozenNet:
    """Quadratics inside units, softplus units of their own sharpness, norms in groups."""
    r = np.random.default_rng(2).normal
    layers = [
        Layer(None, r(size=(4, 3)), r(size=4), Squares(abs(r(size=4)), r(size=(8, 3)), r(size=8))),
        Layer(abs(r(size=(3, 4))), None, r(size=3), smoothing=[0.25, 0.0, 1.0]),
    ]
    branches = [Quadratic(0.5, r(size=(2, 3)), r(size=2))], [Norm(2.0, sparse.csr_array(r(size=(4, 3))), r(size=4), 2)]
    smooth = [LogSumExp(0.5, r(size=(4, 3)), r(size=4), 2)], [Logistic([0.5, 2.0], r(size=(2, 3)), r(size=2))]
    output = Output(abs(r(size=3)), r(size=3), 1.0)
    return FrozenNet(layers, output, *branches, logsumexps=smooth[0], logistics=smooth[1])


def test_frozen_networks_go_out_and_come_back(tmp_path: Path) -> None:
    """What was imported, or written by hand, is a graph again: in float64 where onnxruntime runs it."""
    soft = inside()
    straight = [replace(layer, smoothing=0.0) for layer in soft.layers]
    plain = replace(soft, layers=straight, logsumexps=(), logistics=())
    for net, dtype, tolerance in ((plain, torch.float64, 1e-12), (soft, torch.float32, 1e-5)):
        to_onnx(net, tmp_path / "net.onnx", dtype=dtype)
        x = 3 * np.random.default_rng(3).normal(size=(7, 3)).astype(str(dtype)[6:])
        (found,) = session(tmp_path / "net.onnx").run(["value"], {"x": x})
        np.testing.assert_allclose(found, net(x), rtol=tolerance)
        back = FrozenNet.from_onnx(tmp_path / "net.onnx")
        np.testing.assert_allclose(back(x), net(x), rtol=tolerance)
        assert back.hidden_features == net.hidden_features
    with pytest.raises(ModelError, match=r"holds Softplus, .* to_onnx\(net, path, dtype=torch.float32\)"):
        to_onnx(soft, tmp_path / "net.onnx")
    stacked = replace(soft, output=Output(soft.output.w, np.repeat(soft.output.v, 2, axis=0), 0.0))
    with pytest.raises(ModelError, match=r"stacks 2 contexts; choose one: net\[i\]"):
        to_onnx(stacked, tmp_path / "net.onnx")


@pytest.mark.parametrize("dtype", ["float32", torch.int64, torch.bfloat16, np.float32])
def test_the_type_of_a_frozen_network_is_one_that_runtimes_run(dtype, tmp_path: Path) -> None:
    said = "must be what runtimes run: torch.float16, torch.float32, torch.float64; received"
    with pytest.raises(ModelError, match=said):
        to_onnx(inside(), tmp_path / "net.onnx", dtype=dtype)


def test_numbers_that_are_not_finite_in_the_file_are_refused(tmp_path: Path) -> None:
    net = FrozenNet([Layer(None, [[1.0]], [1e39])], Output([2.0], [1.0]))
    with pytest.raises(ModelError, match=r"b1 holds 1e\+39, more than float32"):
        to_onnx(net, tmp_path / "net.onnx", dtype=torch.float32)
    model = ICNN(2, (3,), dtype=torch.float64)
    with torch.no_grad():
        model.vectors.free["b1"][0] = 1e39
    with pytest.raises(ModelError, match=r"vectors.free.b1 has 1 non-finite entries"):
        to_onnx(model.float(), tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = networks()["plain"]
    monkeypatch.setitem(__import__("sys").modules, "onnxscript", None)
    with pytest.raises(MissingExtra, match=r'onnxscript; run: pip install "socicnn\[onnx\]"'):
        to_onnx(model, tmp_path / "model.onnx")
    monkeypatch.undo()
    monkeypatch.setattr(torch.onnx, "export", lambda *args, **settings: None)
    with pytest.raises(FileError, match="gave no graph"):
        to_onnx(model, tmp_path / "model.onnx")
    monkeypatch.setattr(type(model.positivity), "needs_data", property(lambda recipe: True))
    with pytest.raises(ModelError, match=r"depend on data; call `model.finalise\(train_data\)`"):
        to_onnx(model, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())
