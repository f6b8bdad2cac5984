"""Certificates as files: what is written, what a stranger can check, and what tampering does."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from socicnn._compile import Witness, compile_net
from socicnn._numpy_files import read_arrays
from socicnn.errors import ModelError, VerificationError
from socicnn.frozen import FrozenNet, Norm, Output, Quadratic
from tests.support.claims import nudge, retold, rich_net, saved
from tests.support.frozen_nets import NETS, random_net
from verify._certify import certify
from verify._core import claim as claims
from verify.check import check, main

ROOT = Path(__file__).parents[3]


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
    claim = claims.parse(read_arrays(tmp_path / "claim.npz"), "claim.npz")
    assert np.array_equal(claim.net.values(x), net(x))
    assert claim.net.input_shape == (2, 2)
    assert [norm.group for norm in claim.net.norms] == [2, 3]
    assert claim.program.row_names == certificate.program.row_names
    assert claim.program.cones == certificate.program.cones
    assert (claim.program.A != certificate.program.A).nnz == 0
    assert check(tmp_path / "claim.npz").ok
    some = np.array([3, 1])
    certificate.save(tmp_path / "some.npz", points=some)
    assert check(tmp_path / "some.npz").forward == pytest.approx(net(x)[some], rel=1e-14)


@pytest.mark.parametrize("points", [2, np.int64(2), -4, [2], (2,), range(2, 3), np.arange(6) == 2, slice(2, 3)])
def test_a_point_is_named_in_many_ways(points, tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(6, 4))
    certificate = certify(random_net(3), x)
    certificate.save(tmp_path / "claim.npz", points=points)
    assert claims.parse(read_arrays(tmp_path / "claim.npz"), "claim.npz").x.tolist() == [x[2].tolist()]
    np.testing.assert_allclose(certificate.witness(points).v, certificate.witness().v[2:3], rtol=1e-12)
    supplied = certify(random_net(3), x, program=certificate.program, witness=certificate.witness())
    np.testing.assert_array_equal(supplied.witness(points).y, supplied.witness().y[2:3])


@pytest.mark.parametrize("points", [6, [6], [-7], "a", 1.5, [[0, 1]], np.ones(5, dtype=bool)])
def test_points_that_there_are_not_are_refused(points, tmp_path: Path) -> None:
    certificate = certify(random_net(3), np.zeros((6, 4)))
    for ask in (lambda: certificate.save(tmp_path / "claim.npz", points=points), lambda: certificate.witness(points)):
        with pytest.raises(ModelError, match="points must be indices from 0 to 5, a slice or a mask of 6; received"):
            ask()
    with pytest.raises(ModelError, match="point must be an integer; received 'a'"):
        certificate.subdifferential("a")


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


def test_claims_of_version_0_1_are_checked() -> None:
    report = check(Path(__file__).parents[2] / "socicnn" / "old_files" / "claim-1.npz")
    assert report.ok
    assert report.fingerprint == "38791c5cf008c831c1c35a5c2b57528f0ac3e3994cf9d0377214f72be3fb4655"
