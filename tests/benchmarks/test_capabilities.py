"""The table of what each architecture can be used for: every field is computed here, printed, and is the page's."""

from importlib.util import find_spec

import pytest

from benchmarks.capabilities import EXTRAS, FIELDS, PAGE, field, subject_of
from benchmarks.small_networks import NETWORKS

pytestmark = pytest.mark.extra


def written() -> dict[str, list[str]]:
    """Return the fields on the page by the name of the architecture."""
    lines = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| ")]
    rows = [[entry.strip() for entry in line.strip("|").split("|")] for line in lines]
    assert rows[0] == ["architecture", *FIELDS]
    return {name: fields for name, *fields in rows[1:] if not set(name) <= {"-"}}


def test_the_page_has_every_architecture_and_no_empty_field() -> None:
    assert list(written()) == list(NETWORKS)
    for name, fields in written().items():
        assert fields == ["yes"] * len(FIELDS), name


@pytest.mark.parametrize("name", NETWORKS)
def test_every_field_is_computed(name: str) -> None:
    for package in ("onnx", "onnxruntime"):
        pytest.importorskip(package)
    subject = subject_of(name)
    computed = {
        column: field(subject, column) if all(map(find_spec, EXTRAS.get(column, ()))) else "not installed"
        for column in FIELDS
    }
    print(f"\n{name}: {computed}")
    assert [entry for entry in computed.values() if entry != "not installed"] == [
        text for text, entry in zip(written()[name], computed.values(), strict=True) if entry != "not installed"
    ]
