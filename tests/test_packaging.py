"""The wheel holds its packages and works when it is installed somewhere else."""

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TESTED = ("proof", "fast", "parquet", "plot", "experiments", "test")  # extras that `make test-oldest` installs


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, names.split("\0")):  # a copy, so that building leaves nothing in the tree
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, "--wheel-dir", str(folder), str(source)], check=True)
    (built,) = folder.glob("*.whl")
    return built


def test_wheel_holds_its_packages_and_nothing_else(wheel: Path) -> None:
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {"socicnn", "verify", "decision", "socicnn_cli"} == {top for top in tops if not top.endswith(".dist-info")}
    assert "socicnn/py.typed" in zipfile.ZipFile(wheel).namelist()


def test_wheel_holds_the_lists_of_public_names(wheel: Path) -> None:
    stubs = {
        str(path.relative_to(ROOT)) for top in ("socicnn", "verify", "decision") for path in (ROOT / top).rglob("*.pyi")
    }
    assert len(stubs) >= 8
    assert stubs <= set(zipfile.ZipFile(wheel).namelist())


def test_wheel_names_its_networks_for_files(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith("entry_points.txt")]
        lines = archive.read(name).decode().splitlines()
    assert "StructuredDCP = decision.baselines._structured.dcp:StructuredDCP" in lines


def _oldest() -> dict[str, str]:
    lines = [line for line in (ROOT / "constraints-oldest.txt").read_text().splitlines() if not line.startswith("#")]
    return {name.lower(): version for name, version in (line.split("==") for line in lines)}


def test_the_oldest_versions_are_the_bounds_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras, oldest = project["optional-dependencies"], _oldest()
    asked = [*project["dependencies"], *(line for name in ("solvers", *TESTED) for line in extras[name])]
    bounds = [re.fullmatch(r"([\w-]+)>=([\d.]+)", line) for line in asked if not line.startswith("socicnn[")]
    bounds += [re.fullmatch(r"([\w-]+)>=([\d.]+)", extras[name][0]) for name in ("ecos", "scs", "highs")]
    assert len(bounds) > 15
    for bound in bounds:
        assert bound is not None, "give each package one lower bound"
        name, least = bound.groups()
        assert oldest[name.lower()].removesuffix(".0").removesuffix(".0") == least.removesuffix(".0"), name


def test_wheel_works_when_installed_elsewhere(wheel: Path, tmp_path: Path) -> None:
    target = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(target), str(wheel)]
    subprocess.run(install, check=True)
    code = (
        "import socicnn, verify, decision, torch; print(socicnn.__file__);"
        "print(verify.equivalence(socicnn.SOCICNN(4), torch.randn(3, 4)).ok)"
    )
    environment = {**os.environ, "PYTHONPATH": str(target)}
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    place, verdict = run.stdout.split()
    assert place.startswith(str(target))
    assert verdict == "True"
