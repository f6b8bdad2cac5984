"""Options that every test file shares; markers are in pyproject.toml, as doctests are run without this file."""

import os
from collections import Counter
from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--no-skips", action="store_true", help="a skipped test fails the run")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    report = yield
    if item.config.getoption("--no-skips") and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped where no test may be: {report.longrepr}"
    return report


CONTRACTS = {
    "inputs": "one conversion of numbers",
    "integers": "integers of NumPy",
    "test_unshared": "stored arrays",
    "test_units": "units",
    "test_writers": "writers",
    "test_damages": "damaged files",
    "frozen": "frozen networks",
    "networks": "networks",
    "recipes": "recipes",
    "sets": "sets",
    "solvers": "solvers",
    "tasks": "tasks",
}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in one line a contract how many tests of it ran, and for how many classes."""
    tests: Counter[str] = Counter()
    classes: dict[str, set[str]] = {}
    for report in terminalreporter.stats.get("passed", []):
        name = _contract(report)
        if name:
            tests[name] += 1
            classes.setdefault(name, set()).add(report.nodeid.split("[")[0].rsplit("::", 1)[0])
    if tests:
        terminalreporter.section("contracts")
        for name in (word for word in CONTRACTS.values() if word in tests):
            terminalreporter.write_line(f"{name}: {tests[name]} tests of {len(classes[name])} classes or files")


def _contract(report: pytest.TestReport) -> str:
    """Return the contract that a test belongs to, by the file that it is written in; empty for none."""
    return CONTRACTS.get(Path(report.location[0]).stem, "")


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of real data, named by SOCICNN_DATA; a test that needs it skips only where that is unset."""
    folder = os.environ.get("SOCICNN_DATA")
    if folder is None:
        pytest.skip("set SOCICNN_DATA to the folder of real data to run this test")
    assert Path(folder).is_dir(), f"SOCICNN_DATA names {folder}, which is not a folder"
    return Path(folder)
