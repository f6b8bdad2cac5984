"""Sets from JSON: every kind, and what is wrong named with its place in the file."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from decision.sets import ConicSet, read_set, set_of
from socicnn._files import FileError
from socicnn.errors import ProgramError

KINDS: list[tuple[dict[str, Any], str]] = [
    ({"set": "simplex"}, "Simplex(n=3)"),
    ({"set": "box", "lower": [0, 0, -1]}, "Box(n=3, lower=[0.0, 0.0, -1.0], upper=1.0)"),
    ({"set": "budget", "total": 2}, "Budget(n=3, total=2.0, equality=True)"),
    ({"set": "polytope", "A": [[1, 2, 3]], "b": [4], "lower": [0, None, 0]}, "Polytope(n=3)"),
    ({"set": "polytope", "lower": 0}, "Polytope(n=3)"),
    ({"set": "ball", "radius": {"bias": 1, "weight": [2]}}, "Ball(n=3, moves with the context)"),
    ({"set": "ball", "centre": [[0, 0, 1], [1, 0, 0]], "norm": "1"}, "Ball(n=3, moves with the context)"),
    ({"set": "ellipsoid", "B": [1, 2, 3]}, "Ellipsoid(n=3)"),
    ({"set": "product", "sets": [{"set": "simplex", "n": 2}, {"set": "box", "n": 1}]}, "Product(n=3)"),
    ({"set": "intersection", "sets": [{"set": "simplex", "n": 3}, {"set": "ball", "n": 3}]}, "Intersection(n=3)"),
    (
        {
            "set": "horizon",
            "step": {"set": "box", "n": 1},
            "steps": 3,
            "link": {"P": [[-1]], "Q": [[1]], "r": [0.1]},
            "first": {"E": [[1]], "f": [0.2]},
        },
        "Horizon(n=3)",
    ),
    ({"set": "horizon", "step": [{"set": "box", "n": 1}, {"set": "box", "n": 1}]}, "Horizon(n=2)"),
    ({"set": "storage", "steps": 1, "capacity": 3, "power": 1, "initial": 2, "final": [2]}, "Horizon(n=3)"),
]


@pytest.mark.parametrize(("spec", "shown"), KINDS)
def test_every_kind_is_read(spec: dict[str, Any], shown: str, tmp_path: Path) -> None:
    path = tmp_path / "set.json"
    path.write_text(json.dumps(spec))
    made = read_set(path, 3)
    assert repr(made) == shown
    if isinstance(made, ConicSet) and not made.moves:
        assert np.isfinite(made.rows().h).all()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ([], 'must be an object with the key "set"'),
        ({"set": "bal"}, "did you mean 'ball'"),
        ({"set": "ball", "middle": 0}, r"the set \(ball\) does not take middle; it takes centre"),
        ({"set": "budget"}, "lacks total"),
        ({"set": "budget", "total": 1, "equality": "false"}, "equality of a Budget must be True or False; received 'f"),
        ({"set": "product", "sets": {"set": "box"}}, "the set.sets must be a list"),
        ({"set": "product", "sets": [{"set": "box", "n": 2}, {"set": "no"}]}, "unknown set 'no'"),
        ({"set": "horizon", "step": {"set": "box", "n": 1}, "steps": 2, "link": {"P": [[1]]}}, "with P, Q, r"),
        ({"set": "polytope", "A": [[1, 2], [3]], "b": [1, 2]}, "the set.A must be a full array"),
        ({"set": "polytope", "A": {"bias": 1, "weight": 2}, "b": [1]}, "the set.A must be numbers"),
        ({"set": "polytope", "A": [[1, None]], "b": [1]}, "non-finite"),
        ({"set": "ball", "radius": -1}, r"the set \(ball\): radius"),
        ({"set": "box", "lower": 2}, "the box is empty"),
        ({"set": "simplex", "n": 2.5}, "integer"),
    ],
)
def test_what_is_wrong_is_named(spec: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(ProgramError, match=message):
        set_of(spec, 2)
    path = tmp_path / "set.json"
    path.write_text(json.dumps(spec))
    with pytest.raises(FileError, match=message):
        read_set(path, 2)


@pytest.mark.parametrize("kind", ["simplex", "box", "ball"])
def test_a_set_without_a_size_says_so(kind: str) -> None:
    with pytest.raises(ProgramError, match=rf"the set \({kind}\) lacks n, the number of entries of x"):
        set_of({"set": kind})
    with pytest.raises(ProgramError, match=rf"the set.sets\[0\] \({kind}\) lacks n"):
        set_of({"set": "product", "sets": [{"set": kind}]}, 2)


def test_files_that_are_no_json_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="cannot be read as JSON"):
        read_set(tmp_path / "none.json")
    (tmp_path / "set.json").write_text("{")
    with pytest.raises(FileError, match="cannot be read as JSON"):
        read_set(tmp_path / "set.json")
    (tmp_path / "set.json").write_text('{"set": "box", "upper": 1, "upper": 2}')  # the last would count
    with pytest.raises(FileError, match="the key 'upper' stands twice in one object; keep one"):
        read_set(tmp_path / "set.json", 2)
