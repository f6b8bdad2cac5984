"""Reading what users hold, and saying in one sentence what is wrong with it."""

from pathlib import Path

import numpy as np
import pytest

from socicnn.files import FileError
from socicnn_cli.tables import read_rows, read_samples, write_csv


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
        ("x0,y\n", "header and no rows"),
        ("x0,x2,y\n1,2,3\n", "no column x1"),
        ("a,y\n1,2\n", "no column x0"),
        ("x0,z\n1,2\n", "no column y"),
        ("x0,y\n1,2,3\n", "line 2: 3 entries where 2"),
        ("x0,y\n1,two\n", "line 2: y is 'two', not a number"),
        ("x0,y\n1,nan\n", "y has 1 entries that are NaN"),
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
    with pytest.raises(FileError, match="not a whole NumPy file"):
        read_samples(tmp_path / "code.npz")
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04 nothing more")
    with pytest.raises(FileError, match="not a whole NumPy file"):
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
    _write(tmp_path / "bare.csv", "0,1\n2,3\n4,5\n")
    for name in ("p.npy", "p.npz", "p.csv", "bare.csv"):
        np.testing.assert_array_equal(read_rows(tmp_path / name, "points", "x"), points)


def test_numbers_survive_a_csv_exactly(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(4, 3)) * 10.0 ** np.arange(-150, 150, 100)
    write_csv(tmp_path / "t.csv", ["x0", "x1", "x2"], rows.tolist())
    np.testing.assert_array_equal(read_rows(tmp_path / "t.csv", "points", "x"), rows)
