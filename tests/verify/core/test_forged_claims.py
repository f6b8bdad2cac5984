"""Forged and damaged claims are not verified."""

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from socicnn._files import FileError
from socicnn._plain_arrays import PackingError, numbers
from socicnn.errors import ModelError, ProgramError, SocicnnError
from socicnn.frozen import Output
from socicnn.frozen._network import ConvexNet
from tests.support.claims import nudge, retold, saved, saved_sparse
from verify.check import check, main

NUMBERS = [
    *("x", "forward", "v", "y", "lo"),
    *("program.A.entries", "program.B.entries", "program.b", "program.q", "program.d", "program.r"),
    *("net.layers.0.U", "net.layers.0.b", "net.layers.1.W", "net.output.w", "net.output.v", "net.output.c"),
    *("net.quadratics.0.beta", "net.quadratics.0.A", "net.quadratics.0.e", "net.norms.0.C", "net.norms.0.d"),
]


@pytest.mark.parametrize("name", NUMBERS)
def test_a_forged_number_fails(name: str, tmp_path: Path) -> None:
    assert not check(retold(saved(tmp_path), name, nudge)).ok


@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_that_is_none_fails(name: str, tmp_path: Path) -> None:
    def spoil(array):
        array = np.array(array)
        array.reshape(-1)[0] = np.nan
        return array

    try:
        report = check(retold(saved(tmp_path), name, spoil))
    except SocicnnError:
        return
    assert not report.ok


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("hi", lambda hi: hi - 1.0),
        ("k", lambda k: 2 * k),
        ("program.cones", lambda cones: cones[:-1]),
        ("program.cones", lambda cones: np.array([1, cones[1] - 1, *cones[2:]])),
        ("program.rows", lambda rows: rows[::-1]),
        ("program.rows.names", lambda names: names[::-1]),
        ("program.lifts.heads", lambda heads: heads + 1),
        ("program.A.at", lambda at: at[:, ::-1]),
        ("net.layers", lambda count: count - 1),
        ("net.layers.1.W", lambda W: -W),
        ("net.input_shape", lambda shape: shape + 1),
        ("x", lambda x: x[:-1]),
        ("v", lambda v: v[:, :-1]),
        ("forward", lambda forward: forward.astype("U8")),
    ],
)
def test_forgeries_of_every_kind_fail(name: str, change, tmp_path: Path) -> None:
    forged = retold(saved(tmp_path), name, change)
    assert main([str(forged)]) in (1, 2)


def test_damage_is_told_apart(tmp_path: Path) -> None:
    path = saved(tmp_path)
    with np.load(path) as stored:
        arrays = {key: stored[key] for key in stored.files}
    arrays["lo"] = arrays["lo"] - 1.0  # still true, but not what was written
    np.savez_compressed(tmp_path / "changed.npz", **arrays)
    with pytest.raises(FileError, match="digest does not match"):
        check(tmp_path / "changed.npz")
    whole = path.read_bytes()
    for size in (0, 10, len(whole) // 2, len(whole) - 5):
        (tmp_path / "cut.npz").write_bytes(whole[:size])
        with pytest.raises(FileError, match="not a valid certificate file"):
            check(tmp_path / "cut.npz")
    np.savez(tmp_path / "foreign.npz", x=np.zeros(3))
    with pytest.raises(FileError, match="not a certificate of format"):
        check(tmp_path / "foreign.npz")
    with pytest.raises(FileError, match="does not exist"):
        check(tmp_path / "missing.npz")


def test_no_object_is_ever_unpickled(tmp_path: Path) -> None:
    np.savez(tmp_path / "evil.npz", format=np.array([print], dtype=object))
    with pytest.raises(FileError, match="not a valid certificate file"):
        check(tmp_path / "evil.npz")


def test_what_is_not_proven_is_not_called_proven(tmp_path: Path) -> None:
    report = check(retold(saved(tmp_path), "hi", lambda hi: hi - 1.0))
    assert not report.ok
    assert report.lo is None
    assert "proven" not in str(report)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("program.q", lambda q: q.astype(complex)),
        ("program.d", lambda d: d.astype("U8")),
        ("program.r", lambda r: r.astype("datetime64[s]")),
        ("program.lifts.heads", lambda heads: heads[None]),
        ("program.lifts.sizes", lambda sizes: sizes[:0]),
        ("program.lifts.sizes", lambda sizes: sizes - 1),
        ("program.rows.ends", lambda ends: ends + 1),
        ("program.cones", lambda cones: cones.astype(float)),
    ],
)
def test_what_cannot_be_a_program_is_refused(name: str, change, tmp_path: Path) -> None:
    forged = retold(saved(tmp_path), name, change)
    with pytest.raises((FileError, ProgramError)):
        check(forged)


def test_a_claim_of_no_points_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path)
    for name in ("x", "forward", "v", "y", "k", "lo", "hi"):
        path = retold(path, name, lambda array: array[:0])
    with pytest.raises(FileError, match="it claims nothing: it has no points"):
        check(path)


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("net.layers", lambda _: np.asarray(10**9), "more parts than the file has arrays"),
        ("net.norms", lambda _: np.asarray(-1), "more parts than the file has arrays"),
        ("net.layers.0.U.shape", lambda _: np.asarray([2**40, 3]), "no array has more than"),
        ("net.layers.0.U.shape", lambda _: np.asarray([3 * 10**8, 3]), "no array has more than"),
        ("program.A.shape", lambda shape: shape * 2**30, "no array has more than"),
        ("program.rows.ends", lambda ends: ends * 0 + [0, 2**50], "overlap"),
        ("program.cones", lambda cones: cones * 2**40, "cones"),
        ("v", lambda v: v[:, :-1], "v must have shape"),
        ("lo", lambda lo: lo[:1], "lo must have shape"),
        ("x", lambda x: x[..., None], "x must have shape"),
        ("forward", lambda _: np.asarray(1.0), "must have shape"),
    ],
)
def test_sizes_are_looked_at_before_anything_is_made(tmp_path: Path, name: str, change, said: str) -> None:
    path = retold(saved_sparse(tmp_path), name, change)
    tracemalloc.start()
    with pytest.raises((FileError, ProgramError), match=said) as caught:
        check(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**24
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("array", [np.array([1.5], np.longdouble), np.array([2**53 + 2]), np.array([2**64 - 1], "u8")])
def test_numbers_that_float64_does_not_hold_are_no_claim(array: Any) -> None:
    with pytest.raises(PackingError, match="float64 does not hold"):
        numbers({"lo": array}, "lo")
    assert numbers({"lo": np.array([2**53], np.int64)}, "lo") == [2.0**53]


def test_shapes_have_no_negative_sizes() -> None:
    with pytest.raises(ModelError, match="does not hold"):
        ConvexNet((), Output(np.zeros(0), np.ones(2), 0.0), input_shape=(-1, -2))
