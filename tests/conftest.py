"""Options and markers that every test file shares."""

import os
from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--no-skips", action="store_true", help="a skipped test fails the run")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "extra: needs an optional package; `make test-extras` installs them all")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    report = yield
    if item.config.getoption("--no-skips") and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped where no test may be: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of real data, named by SOCICNN_DATA; a test that needs it skips only where that is unset."""
    folder = os.environ.get("SOCICNN_DATA")
    if folder is None:
        pytest.skip("set SOCICNN_DATA to the folder of real data to run this test")
    assert Path(folder).is_dir(), f"SOCICNN_DATA names {folder}, which is not a folder"
    return Path(folder)
