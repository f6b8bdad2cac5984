"""Certificates as files: what is written, what a stranger can check, and what tampering does."""

import subprocess
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from socicnn._compile import Witness, compile_net
from socicnn._files import FileError
from socicnn.errors import ModelError, ProgramError, SocicnnError, VerificationError
from socicnn.frozen import FrozenNet, Layer, Norm, Output, Quadratic
from tests.support.frozen_nets import NETS, random_net
from verify._certify import certify
from verify._core import claim as claims
from verify.check import check, main

ROOT = Path(__file__).parents[3]


def saved(folder: Path, net: FrozenNet | None = None, count: int = 5) -> Path:
    net = random_net(3) if net is None else net
    path = folder / "claim.npz"
    certify(net, np.random.default_rng(0).normal(size=(count, net.in_features))).save(path)
    return path


def saved_sparse(folder: Path) -> Path:
    net = FrozenNet([Layer(None, sparse.csr_array(np.eye(3)), np.zeros(3))], Output(np.ones(3), np.ones(3)))
    return saved(folder, net, 2)


def rich_net() -> FrozenNet:
    """Stacked contexts, sparse matrices, groups, an input shape."""
    rng = np.random.default_rng(1)
    return FrozenNet(
        [
            Layer(None, sparse.csr_array(rng.normal(size=(3, 4))), rng.normal(size=(5, 3))),
            Layer(rng.exponential(size=(2, 3)), None, np.zeros(2)),
        ],
        Output(rng.exponential(size=(5, 2)), rng.normal(size=4), rng.normal(size=5)),
        [Quadratic(rng.exponential(size=5), rng.normal(size=(2, 4))), Quadratic(0.0, np.eye(4))],
        [Norm(2.0, sparse.csr_array(np.eye(4)), rng.normal(size=(5, 4)), group=2), Norm(1.0, np.ones((3, 4)))],
        input_shape=(2, 2),
    )


@pytest.mark.parametrize("name", NETS)
def test_a_saved_claim_is_verified(name: str, tmp_path: Path) -> None:
    net = random_net(2, **NETS[name])
    path = saved(tmp_path, net)
    report = check(path)
    assert report.ok, str(report)
    assert report.forward == pytest.approx(net(np.random.default_rng(0).normal(size=(5, net.in_features))))
    assert (report.lo <= report.forward).all()
    assert (report.forward <= report.hi).all()


def test_everything_survives_the_file(tmp_path: Path) -> None:
    net = rich_net()
    x = np.random.default_rng(0).normal(size=(5, 4))
    certificate = certify(net, x)
    certificate.save(tmp_path / "claim.npz")
    claim = claims.read(tmp_path / "claim.npz")
    assert np.array_equal(claim.net(x), net(x))
    assert claim.net.input_shape == (2, 2)
    assert [norm.group for norm in claim.net.norms] == [2, 3]
    assert claim.program.row_names == certificate.program.row_names
    assert claim.program.cones == certificate.program.cones
    assert (claim.program.A != certificate.program.A).nnz == 0
    assert check(tmp_path / "claim.npz").ok
    some = np.array([3, 1])
    certificate.save(tmp_path / "some.npz", points=some)
    assert check(tmp_path / "some.npz").forward == pytest.approx(net(x)[some], rel=1e-14)


def retold(path: Path, name: str, change) -> Path:
    """Change one array of a claim and write it anew, digest and all, as a forger would."""
    with np.load(path) as stored:
        arrays = {key: stored[key] for key in stored.files}
    arrays[name] = change(arrays[name])
    arrays.pop("digest")
    arrays["digest"] = np.asarray(claims.digest(arrays))
    forged = path.with_name("forged.npz")
    np.savez_compressed(forged, **arrays)
    return forged


def nudge(array):
    array = np.array(array)
    array.reshape(-1)[0] += 1e-3
    return array


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


def test_only_what_holds_is_saved(tmp_path: Path) -> None:
    net = random_net(3)
    certificate = certify(net, np.zeros((3, 4)), tolerance=0.0)
    assert not certificate.ok
    with pytest.raises(ModelError, match="does not hold at point"):
        certificate.save(tmp_path / "claim.npz")
    assert not list(tmp_path.iterdir())


def test_the_command_reports_and_returns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = saved(tmp_path)
    assert main([str(path)]) == 0
    assert "PASSED" in capsys.readouterr().out
    assert main([str(retold(path, "forward", nudge))]) == 1
    assert "claimed_value" in capsys.readouterr().out
    assert main([str(tmp_path / "missing.npz")]) == 2
    assert "does not exist" in capsys.readouterr().err
    assert main([]) == 2


def test_a_stranger_checks_with_numpy_and_scipy_alone(tmp_path: Path) -> None:
    """Every package but these three is blocked, torch and cvxpy included."""
    path = saved(tmp_path, rich_net())
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "class Block:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        top = name.split('.')[0]\n"
        "        if top not in sys.stdlib_module_names | {'numpy', 'scipy', 'socicnn', 'verify'} "
        "and top in ('torch', 'cvxpy', 'clarabel', 'flint', 'tqdm', 'rich', 'typer', 'safetensors', 'matplotlib',"
        " 'ecos', 'scs', 'highspy', 'sklearn', 'pandas'):\n"
        "            raise ImportError('blocked: ' + name)\n"
        "sys.meta_path.insert(0, Block())\n"
    )
    environment = {"PYTHONPATH": f"{tmp_path}:{ROOT}", "PATH": "", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "error", "-m", "verify.check", str(path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "PASSED" in done.stdout
    blocked = subprocess.run(
        [sys.executable, "-c", "import torch"], env=environment, capture_output=True, text=True, check=False
    )
    assert "blocked: torch" in blocked.stderr


def test_what_is_not_proven_is_not_called_proven(tmp_path: Path) -> None:
    report = check(retold(saved(tmp_path), "hi", lambda hi: hi - 1.0))
    assert not report.ok
    assert report.lo is None
    assert "proven" not in str(report)


def test_a_certificate_prints_on_one_line(tmp_path: Path) -> None:
    net, x = random_net(3), np.random.default_rng(0).normal(size=(5, 4))
    text = repr(certify(net, x, proof=True))
    assert text.startswith("<Certificate: network = program holds at all 5 points; |gap| at most ")
    assert "proven hi - lo at most" in text
    wrong = repr(certify(net, x, tolerance=0.0))
    assert " of 5 points" in wrong
    assert "fails at point" in wrong
    assert "\n" not in text + wrong


def test_a_reader_who_leaves_early_sees_no_traceback(tmp_path: Path) -> None:
    path = saved(tmp_path, rich_net())
    command = [sys.executable, "-m", "verify.check", str(path)]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "", "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        assert run.stderr is not None
        run.stdout.close()
        assert run.stderr.read() == ""
        assert run.wait() == 2


def test_what_a_given_witness_proves_is_what_is_saved_and_cut(tmp_path: Path) -> None:
    """With a program whose rows stand in another order, the closed form of the network's own proves nothing."""
    net, x = random_net(2), np.random.default_rng(0).normal(size=(4, 4))
    compiled = compile_net(net)
    program, own = compiled.program, compiled.witness(x)
    order = np.arange(program.A.shape[0])
    order[: program.cones.nonnegative] = order[: program.cones.nonnegative][::-1]
    turned = replace(program, A=sparse.csc_array(program.A.tocsr()[order]), B=program.B[order], b=program.b[order])
    certificate = certify(net, x, program=turned, witness=Witness(own.v, own.y[:, order], own.k))
    assert certificate.ok
    slope, offset = certificate.cut()
    np.testing.assert_allclose(slope, certify(net, x).gradient(), rtol=1e-12, atol=1e-12)
    z = 3 * np.random.default_rng(1).normal(size=(50, 4))
    assert (net(z)[:, None] >= z @ slope.T + offset - 1e-9).all()
    with pytest.raises(ModelError, match="the program that was given cannot be claimed to be the network's: "):
        certificate.save(tmp_path / "claim.npz")
    same = certify(net, x, program=replace(program), witness=own)
    same.save(tmp_path / "claim.npz")
    assert check(tmp_path / "claim.npz").ok


def test_cuts_come_only_from_what_holds() -> None:
    certificate = certify(random_net(3), np.zeros((3, 4)), tolerance=0.0)
    for ask in (certificate.cut, certificate.gradient):
        with pytest.raises(ModelError, match=r"does not hold at point .*; only what holds gives a cut"):
            ask()


def test_a_branch_without_weight_in_some_contexts_is_claimed_in_all_of_them(tmp_path: Path) -> None:
    gamma, beta = np.array([0.0, 1.0, 0.0]), np.array([1.0, 0.0, 0.0])
    net = FrozenNet([], Output([], np.ones(2), np.arange(3.0)), [Quadratic(beta, np.eye(2))], [Norm(gamma, np.eye(2))])
    certificate = certify(net, np.ones((3, 2)))
    for points in (slice(0, 1), slice(1, 2), slice(2, 3), slice(0, 3)):
        certificate.save(tmp_path / "claim.npz", points)
        report = check(tmp_path / "claim.npz")
        assert report.ok, str(report)
    with pytest.raises(ModelError, match="no points to save"):
        certificate.save(tmp_path / "claim.npz", slice(0, 0))


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


def test_infinite_brackets_are_compared(tmp_path: Path) -> None:
    path = saved(tmp_path)
    wide = retold(retold(path, "lo", lambda lo: lo - np.inf), "hi", lambda hi: hi + np.inf)
    assert check(wide).ok
    wrong = check(retold(path, "lo", lambda lo: lo + np.inf))
    assert not wrong.ok


def test_a_claim_names_its_network(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net, other = random_net(3), random_net(4)
    path, model, wrong = tmp_path / "claim.npz", tmp_path / "net.safetensors", tmp_path / "other.safetensors"
    certify(net, np.zeros((2, 4))).save(path)
    net.save(model)
    other.save(wrong)
    report = check(path)
    assert report.fingerprint == net.fingerprint
    assert f"network: SHA-256 {net.fingerprint}" in str(report)
    assert check(path, fingerprint=net.fingerprint.upper()).ok
    false = check(path, fingerprint=other.fingerprint)
    assert not false.ok
    with pytest.raises(VerificationError, match=f"the claim is about the network {net.fingerprint}, not"):
        false.raise_if_failed()
    assert main([str(path), "--fingerprint", net.fingerprint]) == 0
    assert main([str(path), "--network", str(model)]) == 0
    capsys.readouterr()
    assert main(["--fingerprint", other.fingerprint, str(path)]) == 1
    assert "FAILED" in capsys.readouterr().out
    assert main([str(path), "--network", str(wrong)]) == 1
    capsys.readouterr()
    for words, said in (
        (["--fingerprint", "12ab"], "must be 64 hexadecimal digits"),
        (["--network", str(path)], "not a valid safetensors file"),
        (["--network", str(tmp_path / "none")], "cannot read"),
        (["--network", str(model), "--fingerprint", net.fingerprint], "not allowed with"),
    ):
        assert main([str(path), *words]) == 2
        assert said in capsys.readouterr().err
    assert main(["--help"]) == 0
    assert "usage: python -m verify.check" in capsys.readouterr().out


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


def test_claims_of_version_0_1_are_checked() -> None:
    report = check(Path(__file__).parents[2] / "socicnn" / "old_files" / "claim-1.npz")
    assert report.ok
    assert report.fingerprint == "38791c5cf008c831c1c35a5c2b57528f0ac3e3994cf9d0377214f72be3fb4655"
