"""Reading what users hold, and saying in one sentence what is wrong with it."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from socicnn._files import FileError
from socicnn_cli._frame_output import print_csv, write_csv
from socicnn_cli._frames import column_of
from socicnn_cli._tables import read_rows, read_samples


def _write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_a_csv_is_read_by_its_header_in_any_order(tmp_path: Path) -> None:
    path = _write(tmp_path / "data.csv", "y,x1,x0\n3,2,1\n6,5,4\n")
    samples = read_samples(path)
    np.testing.assert_array_equal(samples.x, [[1, 2], [4, 5]])
    np.testing.assert_array_equal(samples.y, [3, 6])
    assert samples.context is None
    assert not samples.grouped


def test_points_of_equal_context_are_grouped(tmp_path: Path) -> None:
    path = _write(tmp_path / "data.csv", "x0,theta0,y\n1,7,10\n2,8,20\n3,7,30\n4,8,40\n")
    samples = read_samples(path)
    assert samples.grouped
    np.testing.assert_array_equal(samples.context, [[7], [8]])
    np.testing.assert_array_equal(samples.x[..., 0], [[1, 3], [2, 4]])
    np.testing.assert_array_equal(samples.y, [[10, 30], [20, 40]])


def test_contexts_with_differing_counts_stay_single_points(tmp_path: Path) -> None:
    path = _write(tmp_path / "data.csv", "x0,theta0,y\n1,7,10\n2,8,20\n3,7,30\n")
    assert not read_samples(path).grouped


def test_npz_with_candidates(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=np.zeros((3, 4, 2)), y=np.zeros((3, 4)), theta=np.zeros((3, 5)))
    samples = read_samples(tmp_path / "d.npz")
    assert samples.grouped
    assert samples.context is not None
    assert samples.context.shape == (3, 5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("x0,y\n", "has no rows; it needs a header"),
        ("x0,x2,y\n1,2,3\n", "no column x1"),
        ("a,y\n1,2\n", "no column x0"),
        ("x0,z\n1,2\n", "no column y"),
        ("x0,y\n1,2,3\n", "more entries than its header"),
        ("x0,y\n1,2\n1,2,3\n", "line 3: 3 entries instead of 2"),
        ("x0,y\n1\n", "y has 1 entries that are NaN or infinite"),
        ("x0,x0,y\n1,2,3\n", "several columns 'x0'"),
        ("1,2\n3,4\n", "no column y"),
        ("x0,y\n1,two\n", "column 'y' .* holds text, e.g. 'two' in row 1"),
        ("x0,y\n1,nan\n", "y has 1 entries that are NaN"),
        ("x0,y\n1,-INF\n", "y has 1 entries that are NaN or infinite"),
        ("x0,x\u00b2,y\n1,2,3\n", "a column 'x\u00b2', which is not one of x0, x1"),
        ("x0,x\u0661,y\n1,2,3\n", "which is not one of x0, x1"),
        ("x0,x1,x01,y\n1,2,7,3\n", "a column 'x01', which is not one of x0, x1"),
        ("x0,X1,y\n1,2,3\n", "a column 'X1', which is not one of x0, x1"),
        ("x0,x_1,y\n1,2,3\n", "a column 'x_1', which is not one of x0, x1"),
        ("x0,Theta0,y\n1,2,3\n", "a column 'Theta0', which is not one of theta0, theta1"),
        ("x0,price,y,x1_new\n1,2,3,4\n", "columns other than x0, x1, .* and y: price, x1_new; rename"),
        ("x0,Y,y\n1,2,3\n", "columns other than x0, x1, .* and y: Y; rename"),
        ("x0,x999999999,y\n1,2,3\n", "no column x1; number the columns"),
        ("x0,x" + "9" * 5000 + ",y\n1,2,3\n", "which is not one of x0, x1"),
        ("x0,y\n1_000,3\n", "column 'x0' .* holds text, e.g. '1_000'"),
        ("x0,y\n\u0661,3\n", "holds text"),
        ("x0,y\n0x10,3\n", "holds text"),
    ],
)
def test_a_bad_csv_is_refused_in_one_sentence(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(FileError, match=message):
        read_samples(_write(tmp_path / "data.csv", text))


def test_bad_npz_files_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "no_y.npz", x=np.zeros((3, 2)))
    with pytest.raises(FileError, match="lacks y"):
        read_samples(tmp_path / "no_y.npz")
    np.savez(tmp_path / "shape.npz", x=np.zeros((3, 2)), y=np.zeros(4))
    with pytest.raises(FileError, match=r"received x \(3, 2\), y \(4,\)"):
        read_samples(tmp_path / "shape.npz")
    np.savez(tmp_path / "code.npz", x=np.array([{}], dtype=object), y=np.zeros(1))
    with pytest.raises(FileError, match="not a valid NumPy file"):
        read_samples(tmp_path / "code.npz")
    np.savez(tmp_path / "others.npz", x=np.zeros((3, 2)), y=np.zeros(3), context=np.ones((3, 1)))
    with pytest.raises(FileError, match="arrays other than x, theta and y: context; call contexts theta"):
        read_samples(tmp_path / "others.npz")  # they were left out, and a function of x alone was learned
    np.savez(tmp_path / "points.npz", x=np.zeros((3, 2)))
    with pytest.raises(FileError, match="holds x; name the array of the contexts 'theta'"):
        read_rows(tmp_path / "points.npz", "contexts", "theta")
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04 nothing more")
    with pytest.raises(FileError, match="not a valid NumPy file"):
        read_samples(tmp_path / "broken.npz")
    with pytest.raises(FileError, match=r"no file .*check the path"):
        read_samples(tmp_path / "absent.npz")
    with pytest.raises(FileError, match=r"received '\.txt'"):
        read_samples(_write(tmp_path / "data.txt", "1"))


def test_points_from_each_format(tmp_path: Path) -> None:
    points = np.arange(6.0).reshape(3, 2)
    np.save(tmp_path / "p.npy", points)
    np.savez(tmp_path / "p.npz", x=points, other=np.zeros(1))
    write_csv(tmp_path / "p.csv", ["x0", "x1"], points.tolist())
    _write(tmp_path / "bare.csv", "0.0,1\n2,3\n4,5\n")
    for name in ("p.npy", "p.npz", "p.csv", "bare.csv"):
        np.testing.assert_array_equal(read_rows(tmp_path / name, "points", "x"), points)


def test_numbers_survive_a_csv_exactly(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(400, 3)) * 10.0 ** np.arange(-150, 150, 100)
    write_csv(tmp_path / "t.csv", ["x0", "x1", "x2"], rows.tolist())
    np.testing.assert_array_equal(read_rows(tmp_path / "t.csv", "points", "x"), rows)


@pytest.mark.parametrize("text", ["1", "-1.", "+.5", "1e-3", "1E+300", " 2 ", "5e-324", "0001.50", "-0.0"])
def test_what_is_a_number(tmp_path: Path, text: str) -> None:
    rows = read_rows(_write(tmp_path / "t.csv", f"x0\n{text}\n"), "points", "x")
    assert str(rows[0, 0]) == str(float(text))  # its sign too


@pytest.mark.parametrize("text", ["x0;y\n1;3,5\n", "x0\ty\n1\t3.5\n", "x0|y\n1|3.5\n"])
def test_separators_and_decimal_commas_are_seen(tmp_path: Path, text: str) -> None:
    samples = read_samples(_write(tmp_path / "data.csv", text))
    assert (samples.x.tolist(), samples.y.tolist()) == ([[1.0]], [3.5])


@pytest.mark.parametrize("header", ["0", "0,1", "0;1"])
def test_a_first_line_that_pandas_writes_as_names_is_no_row(tmp_path: Path, header: str) -> None:
    """It was read as a point or context (0, 1, ...), and every answer moved down by one row."""
    path = _write(tmp_path / "t.csv", header + "\n" + header.replace("0", "0.5") + "\n")
    with pytest.raises(FileError, match="may be names or a row of numbers; name the columns"):
        read_rows(path, "contexts", "theta")


def test_whole_numbers_are_printed_whole(capsys: pytest.CaptureFixture[str]) -> None:
    print_csv(["row", "a, b"], [[12345678, 0.1234567], [2, float("nan")]])
    assert capsys.readouterr().out == 'row,"a, b"\n12345678,0.123457\n2,nan\n'


def test_points_beside_other_columns_are_read(tmp_path: Path) -> None:
    """What `decide` writes is read again as points."""
    path = _write(tmp_path / "t.csv", "context,x0,x1,value,status\n0,1,2,3,4\n")
    np.testing.assert_array_equal(read_rows(path, "points", "x"), [[1, 2]])
    with pytest.raises(FileError, match="a column 'X2', which is not one of x0"):
        read_rows(_write(path, "x0,X2\n1,2\n"), "points", "x")


def test_another_program_reads_what_is_written(tmp_path: Path) -> None:
    """awk, which knows nothing of us, adds the numbers up."""
    write_csv(tmp_path / "t.csv", ["x0", "x1"], [[0.5, 0.25], [1e300, -1.0]])
    words = ["awk", "-F,", 'NR>1 {a+=$1; b+=$2} END {printf "%.17g %.17g", a, b}', str(tmp_path / "t.csv")]
    if shutil.which("awk") is None:
        pytest.skip("awk is not installed")
    total = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()
    assert [float(number) for number in total] == [1e300, -0.75]


@pytest.mark.parametrize("unit", [2.0**-40, 1.0, 2.0**40])
@pytest.mark.parametrize("offset", [0.0, 2.0**31])
def test_contexts_group_within_eight_roundings_of_their_range(tmp_path: Path, unit: float, offset: float) -> None:
    theta = np.array([0.3, 0.7, 1.0]) + offset
    blurred = theta + (4 * np.finfo(float).eps * (theta[-1] - theta[0]) if offset == 0 else 0.0)
    rows = np.concatenate([theta, blurred])[:, None] * unit
    np.savez(tmp_path / "d.npz", x=np.arange(6.0)[:, None], y=np.arange(6.0), theta=rows)
    samples = read_samples(tmp_path / "d.npz")
    assert samples.grouped
    assert samples.layout == "3 contexts with 2 points each"
    apart = np.concatenate([theta, theta * (1 + 1e-9)])[:, None] * unit  # different contexts, however close
    np.savez(tmp_path / "d.npz", x=np.arange(6.0)[:, None], y=np.arange(6.0), theta=apart)
    assert read_samples(tmp_path / "d.npz").layout == "no context repeats"


def test_the_layout_of_the_points_is_said_in_words(tmp_path: Path) -> None:
    path = _write(tmp_path / "data.csv", "x0,theta0,y\n1,7,10\n2,8,20\n3,7,30\n")
    assert read_samples(path).layout == "contexts have unequal numbers of points, from 1 to 2"
    path = _write(tmp_path / "data.csv", "x0,y\n1,10\n2,20\n")
    assert read_samples(path).layout == "there are no contexts"


@pytest.mark.parametrize(("kind", "said"), [("duration", "durations"), ("month", "dates")])
def test_durations_and_months_are_no_numbers(kind: str, said: str) -> None:
    """As numbers they depended on the unit of the file, and a missing one was -9.2e18."""
    pd = pytest.importorskip("pandas")
    hours, months = pd.to_timedelta([1.0, None, 3.0], unit="h"), pd.PeriodIndex(["2020-01"] * 3, freq="M")
    frame = pd.DataFrame({"time": hours if kind == "duration" else months})
    with pytest.raises(FileError, match=f"column 'time' of days.parquet holds {said}"):
        column_of(Path("days.parquet"), frame, "time")


@pytest.mark.parametrize("text", ["theta0\n1\n\n3\n", "1.5\n\n3\n", "theta0\r\n1\r\n \r\n3\r\n"])
def test_an_empty_line_in_a_file_of_one_column_is_a_missing_value(tmp_path: Path, text: str) -> None:
    """It was left out, so that every answer below belonged to the row above."""
    with pytest.raises(FileError, match="has 1 entries that are NaN or infinite, the first in row 1"):
        read_rows(_write(tmp_path / "contexts.csv", text), "contexts", "theta")


@pytest.mark.parametrize("text", ["\n1.5\n2.5\n", " \r\n1.5\r\n2.5\r\n"])
def test_a_first_line_that_is_empty_is_refused_where_nothing_tells_what_it_is(tmp_path: Path, text: str) -> None:
    with pytest.raises(FileError, match="begins with an empty line; write nan for a missing value, or remove the line"):
        read_rows(_write(tmp_path / "contexts.csv", text), "contexts", "theta")


def test_empty_lines_around_a_table_say_nothing(tmp_path: Path) -> None:
    rows = read_rows(_write(tmp_path / "contexts.csv", "\n\ntheta0\n1\n3\n\n\n"), "contexts", "theta")
    assert rows.tolist() == [[1.0], [3.0]]
