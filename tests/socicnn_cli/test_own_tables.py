"""A user's own table on the command line: real names, dates, separators, missing values; fit, judge, plot, decide."""

import csv
import gzip
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import socicnn
import verify
from socicnn.errors import FileError, ModelError
from socicnn_cli import main
from socicnn_cli._frames import numeric_names, read_frame

POWER, REACTIVE = "Global active power [kW]", "Q, reactive"
X = f'"{POWER}","{REACTIVE}"'


def power(rows: int = 220, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    table = pd.DataFrame({"datetime": pd.date_range("2006-12-16", periods=rows, freq="h").astype(str)})
    table[POWER] = rng.uniform(0.2, 8, rows)
    table[REACTIVE] = rng.uniform(0, 4, rows)
    table["V"] = rng.uniform(229, 252, rows)
    table["I"] = 1000 * np.hypot(table[POWER], table[REACTIVE]) / table["V"]
    table.loc[3, "V"] = np.nan
    table.loc[[5, 6], "I"] = np.nan
    return table


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("own") / "house hold.csv"
    power().to_csv(path, index=False, sep=";", decimal=",", na_rep="?")
    return path


@pytest.fixture(scope="module")
def model(data: Path) -> Path:
    out = data.with_name("current.safetensors")
    with pytest.MonkeyPatch.context() as patch:
        words = ["fit", data, "--target", "I", "--x", X, "--context", "V", "--increasing", f'"{POWER}"', "--out", out]
        patch.setattr(sys, "argv", ["socicnn", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            main()
    assert not stop.value.code
    return out


def test_the_report_is_in_the_unit_of_the_target_beside_simple_models(run, data: Path, tmp_path: Path) -> None:
    words = ("fit", data, "--target", "I", "--x", X, "--context", "V", "--kind", "norm", "--hidden", "4")
    status, out, err = run(*words, "--out", tmp_path / "m.safetensors")
    assert status == 0, err
    assert f"I, convex in {POWER}, {REACTIVE}; free in V: 174 rows to fit, 43 held out" in out
    assert "not used: datetime" in out
    assert "dropped 3 of 220 rows with missing values (V in 1, I in 2)" in out
    assert "RMSE, in units of I" in out
    for name in ("this model", "mean", "linear regression", "max-affine"):
        assert any(line.startswith(name) for line in out.splitlines())
    status, out, _ = run(*words, "--out", tmp_path / "m.safetensors", "--json")
    facts = json.loads(out)
    assert status == 0
    assert facts["unused"] == ["datetime"]
    assert facts["rows"] == {"fitted": 174, "held_out": 43, "dropped": 3}
    assert facts["scores"]["this model"]["R2"] > 0.98
    assert facts["scores"]["mean"]["RMSE"] == pytest.approx(power()["I"].std(), rel=0.2)


def test_the_model_has_the_name_of_the_table_if_none_is_given(
    run, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    status, out, _ = run("fit", data, "--target", "I", "--x", X, "--kind", "quad")
    assert status == 0
    assert "wrote house hold.safetensors" in out
    assert Path("house hold.safetensors").is_file()


def test_a_table_that_is_not_convex_is_warned_of(run, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 1, 150)
    pd.DataFrame({"a": x, "b": -x + rng.normal(0, 0.01, 150)}).to_csv(tmp_path / "t.csv", index=False)
    words = ("fit", tmp_path / "t.csv", "--target", "b", "--increasing", "a", "--out", tmp_path / "m.safetensors")
    status, _, err = run(*words)
    assert status == 0
    assert "linear regression" in err
    assert "did better than this model; is b convex in a?" in err


def test_predict_and_evaluate_agree_with_the_table(run, model: Path, data: Path, tmp_path: Path) -> None:
    status, _, err = run("predict", model, data, "--out", tmp_path / "p.csv")
    assert status == 0, err
    written = pd.read_csv(tmp_path / "p.csv")
    assert list(written.columns) == ["row", POWER, REACTIVE, "V", "predicted I", "outside"]
    assert written["row"].tolist() == [row for row in range(1, 221) if row != 4]
    truth = power().loc[written["row"] - 1, "I"].to_numpy()
    known = np.isfinite(truth)
    error = written["predicted I"].to_numpy()[known] - truth[known]
    status, out, _ = run("evaluate", model, data, "--json")
    facts = json.loads(out)
    assert facts["RMSE"] == pytest.approx(np.sqrt(np.mean(error**2)), rel=1e-9)
    assert facts["R2"] == pytest.approx(1 - np.mean(error**2) / truth[known].var(), rel=1e-9)
    assert facts["R2"] > 0.99
    assert (facts["rows"], facts["dropped"], facts["outside"]) == (217, 3, 0)
    assert "R2 0.99" in run("evaluate", model, data)[1]
    far = power(30).assign(V=400.0)
    far.to_csv(tmp_path / "far.csv", index=False)
    assert "30 rows lie outside" in run("predict", model, tmp_path / "far.csv")[2]


def test_frames_meet_a_model_from_the_command_line_by_their_columns(model: Path) -> None:
    network, table = socicnn.load(model), power().dropna()
    assert network.ranges is not None
    assert (network.ranges.x_names, network.ranges.context_names) == ((POWER, REACTIVE), ("V",))
    assert verify.certify(network, table[[POWER, REACTIVE]], table[["V"]]).ok
    with pytest.raises(ModelError, match="x has the columns"):
        verify.certify(network, table[[REACTIVE, POWER]], table[["V"]])
    with pytest.raises(ModelError, match=r"context has the columns \['I'\]"):
        verify.certify(network, table[[POWER, REACTIVE]], table[["I"]])


def test_names_run_through_to_decisions_proofs_and_info(run, model: Path, data: Path, tmp_path: Path) -> None:
    (tmp_path / "v.csv").write_text("V\n230\n250\n")
    words = ("decide", model, "--set", "box", "--lower", "1,0.5", "--upper", "8,4", "--context", tmp_path / "v.csv")
    status, out, _ = run(*words)
    assert status == 0
    header, *rows = csv.reader(out.splitlines())
    assert header[:3] == [POWER, REACTIVE, "I"]
    np.testing.assert_allclose(np.array(rows, dtype=float)[:, :2], [[1, 0.5]] * 2, atol=1e-4)
    facts = json.loads(run(*words, "--json")[1])
    assert facts["certified"] == [True, True]
    assert facts["decisions"][0][POWER] == pytest.approx(1, abs=1e-4)
    power(12, seed=3).dropna().to_csv(tmp_path / "points.csv", index=False)
    status, out, _ = run("verify", model, "--points", tmp_path / "points.csv", "--context", tmp_path / "points.csv")
    assert status == 0
    assert out.startswith("PASSED")
    (tmp_path / "bare.csv").write_text("2,2\n3,4\n")  # no names, though the first line could be two of one name
    (tmp_path / "v.csv").write_text("V\n230\n")
    words = ("--context", tmp_path / "v.csv", "--solver", "none", "--json", "-")
    assert len(json.loads(run("verify", model, "--points", tmp_path / "bare.csv", *words)[1])["value"]) == 2
    status, out, err = run("verify", model, "--points", data, "--solver", "none", "--json", "-")  # the table as it is
    assert status == 0
    assert err.startswith("dropped 1 of 220 rows")
    assert json.loads(out)["ok"] is True
    status, out, _ = run("info", model)
    assert f"predicts: I, convex in {POWER}, {REACTIVE}; free in V; increasing in {POWER}" in out
    assert f"{REACTIVE} in [" in out
    assert json.loads(run("info", model, "--json")[1])["x"]["names"] == [POWER, REACTIVE]


def test_the_largest_value_of_a_concave_function_is_found(run, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.uniform(0, 4, (200, 2)), columns=["price", "ads"])
    table["profit"] = 10 - (table["price"] - 2) ** 2 + table["ads"]
    table.to_csv(tmp_path / "t.csv", index=False)
    out = tmp_path / "m.safetensors"
    run("fit", tmp_path / "t.csv", "--target", "profit", "--concave", "--kind", "quad", "--hidden", "", "--out", out)
    status, text, err = run("decide", out, "--set", "box", "--lower", "0", "--upper", "4")
    assert status == 0, err
    header, best = csv.reader(text.splitlines())
    found = dict(zip(header, map(float, best), strict=True))
    assert (found["price"], found["ads"], found["profit"]) == pytest.approx((2, 4, 14), abs=0.05)


@pytest.mark.extra
def test_onnx_predicts_the_same(run, model: Path, data: Path, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="pip install onnxruntime")
    pytest.importorskip("onnxscript", reason="pip install 'socicnn[onnx]'")
    status, _, err = run("export", model, "--format", "onnx", "--out", tmp_path / "m.onnx")
    assert status == 0, err
    table = power(20, seed=1).dropna()
    feeds = {"x": table[[POWER, REACTIVE]].to_numpy(np.float32), "context": table[["V"]].to_numpy(np.float32)}
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    (values,) = session.run(None, feeds)
    table.to_csv(tmp_path / "t.csv", index=False)
    predicted = [
        entry["predicted I"]
        for entry in json.loads(run("predict", model, tmp_path / "t.csv", "--json")[1])["predictions"]
    ]
    np.testing.assert_allclose(values, predicted, rtol=1e-4)
    (tmp_path / "v.csv").write_text("V\n230\n")
    status, out, _ = run(
        "export", model, "--format", "cbf", "--context", tmp_path / "v.csv", "--json", "--out", tmp_path / "m.cbf"
    )
    assert json.loads(out)["inputs"] == 2


def test_the_plot_is_a_picture_with_a_slice_per_column(run, model: Path, data: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="pip install 'socicnn[plot]'")
    status, _, err = run("plot", model, data, "--out", tmp_path / "p.svg")
    assert status == 0, err
    text = (tmp_path / "p.svg").read_text()
    assert text.count('id="axes_') >= 5
    from socicnn_cli._plot import slice_of
    from socicnn_cli._table_model import TableModel

    fitted = TableModel.read(model)
    inputs = fitted.table(data, target=False).values
    grid, values = slice_of(fitted, inputs, 0)
    assert (np.diff(values) >= -1e-9).all()  # increasing
    assert (np.diff(values, 2) >= -1e-9).all()  # convex
    assert (grid[0], grid[-1]) == (inputs[:, 0].min(), inputs[:, 0].max())


@pytest.mark.parametrize("kind", ["comma", "semicolon", "tab", "bar", "gz", "parquet", "bom"])
def test_every_layout_is_the_same_table(kind: str, tmp_path: Path) -> None:
    table = power(20)
    separator = {"semicolon": ";", "tab": "\t", "bar": "|"}.get(kind, ",")
    path = tmp_path / {"gz": "t.csv.gz", "parquet": "t.parquet"}.get(kind, "t.csv")
    if kind == "parquet":
        pytest.importorskip("pyarrow")
        table.to_parquet(path)
    else:
        text = table.to_csv(None, index=False, sep=separator, decimal="," if kind == "semicolon" else ".")
        raw = text.encode("utf-8-sig" if kind == "bom" else "utf-8")
        path.write_bytes(gzip.compress(raw) if kind == "gz" else raw)
    pd.testing.assert_frame_equal(read_frame(path), table, check_dtype=False)


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_decimal_commas_are_seen_wherever_they_are(tmp_path: Path, separator: str) -> None:
    """Beyond the first 50 rows, behind any separator, and not in words that hold a comma."""
    rows = [["Doe, John", str(i), "2"] for i in range(60)]
    text = "\n".join(map(separator.join, [["name", "x", "y"], *rows, ["Roe, J", "1,5", "3"]]))
    (tmp_path / "t.csv").write_text(text)
    frame = read_frame(tmp_path / "t.csv")
    assert numeric_names(frame) == ["x", "y"]
    assert frame["x"].iloc[-1] == 1.5
    (tmp_path / "t.csv").write_text(text.replace("1,5", "1.5"))
    assert numeric_names(read_frame(tmp_path / "t.csv")) == ["x", "y"]


def test_commas_beside_points_are_refused(tmp_path: Path) -> None:
    """1.234 beside 0,5 may be 1234; it was read as 1.234, or its column left out."""
    (tmp_path / "t.csv").write_text("x;y\n1.234;0,5\n2.000;1,5\n")
    with pytest.raises(FileError, match="a comma in column 'y' and with a point in column 'x'"):
        read_frame(tmp_path / "t.csv")


def test_a_column_without_a_name_is_no_input(run, tmp_path: Path) -> None:
    """The index that pandas writes was learned from."""
    x = np.linspace(-1, 1, 30)
    pd.DataFrame({"x": x, "y": x**2}).to_csv(tmp_path / "t.csv")
    words = ("fit", tmp_path / "t.csv", "--target", "y", "--kind", "relu", "--out", tmp_path / "m.safetensors")
    facts = json.loads(run(*words, "--json")[1])
    assert facts["table"]["x"] == ["x"]
    assert facts["unused"] == ["Unnamed: 0"]


def test_gradients_and_quantiles_come_from_columns_and_options(run, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, 120)
    pd.DataFrame({"x": x, "y": x**2, "slope": 2 * x}).to_csv(tmp_path / "t.csv", index=False)
    words = ("fit", tmp_path / "t.csv", "--target", "y", "--out", tmp_path / "m.safetensors", "--json")
    facts = json.loads(run(*words, "--gradient", "slope")[1])
    assert facts["table"]["x"] == ["x"]
    assert facts["scores"]["this model"]["R2"] > 0.999
    noisy = x**2 + rng.normal(scale=0.3, size=120)  # without noise every quantile is the same curve
    pd.DataFrame({"x": x, "y": noisy}).to_csv(tmp_path / "t.csv", index=False)
    high, low = (json.loads(run(*words, "--quantile", level)[1])["share_below"] for level in ("0.9", "0.1"))
    assert high > 0.7
    assert low < 0.3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--target", "i"], "no column 'i' (did you mean 'I'?)"),
        (["--target", "I", "--x", "datetime"], "'datetime' of * holds text, e.g. '2006-12-16 00:00:00' in row 1"),
        (["--target", "I", "--x", "V", "--context", "V"], "column 'V' has two roles"),
        (["--target", "I", "--x", "V", "--increasing", "I"], "--increasing names 'I', which is not among"),
        (["--target", "I", "--x", "V", "--gradient", "V,V"], "one column for each of V; received 2"),
        (["--target", "I", "--checkpoint", "c.pt"], "--checkpoint does not go with --target"),
        (["--target", "I", "--epochs", "50"], "--epochs does not go with --target"),
        (["--target", "I", "--loss", "smooth_l1"], "--loss does not go with --target"),
        (["--target", "I", "--lower", "0"], "--lower does not go with --target"),
        (["--x", "V"], "add --target NAME"),
        (["--kind", "softplus"], "add --target NAME"),
        (["--quantile", "0"], "add --target NAME"),
        ([], "name your own columns with --target"),
        (["--target", "I", "--kind", "cubic"], "cubic"),
        (["--target", "I", "--quantile", "2"], "level must lie between 0 and 1"),
    ],
)
def test_what_does_not_fit_is_one_sentence(run, data: Path, tmp_path: Path, words: list[str], message: str) -> None:
    status, _, err = run("fit", data, *words, "--out", tmp_path / "m.safetensors")
    assert status == 2
    before, _, after = message.partition("*")
    assert before in err
    assert after in err
    assert not (tmp_path / "m.safetensors").exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", b"", "is empty"),
        ("t.csv", b"a,b\n", "no rows"),
        ("t.csv", b"a,a\n1,2\n", "several columns 'a'"),
        ("t.csv", b"a,b\n1,\n,2\n", "no row with a number in each"),
        ("t.csv", b"a,b\n1,2\n1,2,3\n", "line 3: 3 entries instead of 2"),
        ("t.csv", b"\xff\xfe\x00", "not UTF-8 text"),
        ("t.csv.gz", b"no gzip", "cannot read"),
        ("t.parquet", b"no parquet", "parquet"),
    ],
)
def test_broken_tables_are_one_sentence(run, tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    status, _, err = run("fit", tmp_path / name, "--target", "b", "--x", "a", "--out", tmp_path / "m.safetensors")
    assert status == 2
    assert message in err
    assert err.count("\n") == 1


def test_models_without_names_say_what_to_do(run, data: Path, tmp_path: Path) -> None:
    socicnn.save(socicnn.ICNN(2, (4,)), tmp_path / "m.safetensors")
    status, _, err = run("predict", tmp_path / "m.safetensors", data)
    assert status == 2
    assert "fit one with `socicnn fit DATA --target NAME" in err
