"""What every function that reads numbers must take and refuse: inherit `InputContract`, give `read`.

One conversion serves them all, so that each kind of input is right, or refused in a sentence that names the argument.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import sparse

TABLE = np.array([[0.25, -1.0, 2.0], [1.5, 0.0, -0.5], [3.0, 1.0, 0.125], [0.5, 2.0, 1.0]])


def _frame(package: str) -> Callable[[], Any]:
    return lambda: pytest.importorskip(package).DataFrame({name: TABLE[:, i] for i, name in enumerate("abc")})


def _nullable(values: list[Any]) -> Any:
    pandas = pytest.importorskip("pandas")
    return pandas.DataFrame({name: pandas.Series(values, dtype="Float64") for name in "abc"})


def _dated(kind: str) -> Any:
    pandas = pytest.importorskip("pandas")
    entries = pandas.Series(["u"] * 4) if kind == "str" else pandas.Series(range(4)).astype(kind)
    return pandas.DataFrame({"a": TABLE[:, 0], "b": TABLE[:, 1], "c": entries})


EQUAL: dict[str, Callable[[], Any]] = {
    "list": lambda: TABLE.tolist(),
    "tuples": lambda: tuple(map(tuple, TABLE.tolist())),
    "list of arrays": lambda: list(TABLE),
    "float32": lambda: TABLE.astype(np.float32),
    "float16": lambda: TABLE.astype(np.float16),
    "big-endian": lambda: TABLE.astype(">f8"),
    "non-contiguous": lambda: np.repeat(np.repeat(TABLE, 2, axis=0), 3, axis=1)[::2, ::3],
    "rows from the last": lambda: TABLE[::-1].copy()[::-1],
    "columns from the last": lambda: TABLE[:, ::-1].copy()[:, ::-1],
    "Fortran": lambda: np.asfortranarray(TABLE),
    "objects": lambda: TABLE.astype(object),
    "unmasked": lambda: np.ma.array(TABLE),
    "torch": lambda: torch.tensor(TABLE),
    "torch bfloat16": lambda: torch.tensor(TABLE, dtype=torch.bfloat16),
    "torch with a graph": lambda: torch.tensor(TABLE, requires_grad=True) * 1.0,
    "torch transposed": lambda: torch.tensor(TABLE.T.copy()).T,
    "pandas": _frame("pandas"),
    "polars": _frame("polars"),
}

REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "text": (lambda: TABLE.astype(str), "text"),
    "text in objects": (lambda: [["1", 2.0, 3.0]] * 4, "text"),
    "bytes": (lambda: TABLE.astype("S8"), "text"),
    "missing": (lambda: [[None, 1.0, 2.0]] * 4, "missing|None"),
    "nan": (lambda: np.where(TABLE == 0, np.nan, TABLE), "non-finite|NaN"),
    "infinite": (lambda: np.where(TABLE == 0, np.inf, TABLE), "non-finite"),
    "masked": (lambda: np.ma.array(TABLE, mask=TABLE == 0), "masked"),
    "complex": (lambda: TABLE + 0j, "complex"),
    "torch complex": (lambda: torch.tensor(TABLE + 0j), "complex"),
    "dates": (lambda: TABLE.astype("M8[D]"), "dates"),
    "pandas dates": (lambda: _dated("datetime64[ns, UTC]"), "column 'c' of .* holds dates"),
    "pandas times": (lambda: _dated("timedelta64[ns]"), "column 'c' of .* holds times"),
    "pandas text beside numbers": (lambda: _dated("str"), "column 'c' of .* holds text"),
    "ragged": (lambda: [[1.0, 2.0, 3.0], [1.0, 2.0]], "different lengths"),
    "sparse": (lambda: sparse.csr_array(TABLE), "sparse"),
    "torch sparse": (lambda: torch.tensor(TABLE).to_sparse(), "sparse"),
    "a mapping": (lambda: {"a": 1.0}, "real numbers"),
    "pandas text": (lambda: pytest.importorskip("pandas").DataFrame({n: ["u"] * 4 for n in "abc"}), "text"),
    "pandas missing": (lambda: _nullable([1.0, None, 2.0, 3.0]), "missing|non-finite"),
}


class InputContract(ABC):
    """Checks of one reader of a table of four rows and three columns.

    Attributes:
        name: what its messages call the argument.
        takes: kinds of `REFUSED` that mean something here, such as a bound that is infinite.
    """

    name: str
    takes: frozenset[str] = frozenset()

    @abstractmethod
    def read(self, values: Any) -> Any:
        """Return something that depends on the numbers alone, as an array or a tensor."""

    def expected(self) -> Any:
        return np.asarray(self.read(TABLE))

    @pytest.mark.parametrize("kind", EQUAL)
    def test_the_same_numbers_give_the_same_result(self, kind: str) -> None:
        assert np.array_equal(np.asarray(self.read(EQUAL[kind]())), self.expected())

    def test_memory_maps_are_read(self, tmp_path: Path) -> None:
        mapped = np.memmap(tmp_path / "table.bin", dtype=np.float64, mode="w+", shape=TABLE.shape)
        mapped[:] = TABLE
        mapped.flush()
        again = np.memmap(tmp_path / "table.bin", dtype=np.float64, mode="r", shape=TABLE.shape)
        assert np.array_equal(np.asarray(self.read(again)), self.expected())

    @pytest.mark.parametrize("kind", [bool, np.int8, np.uint64, int])
    def test_integers_and_booleans_are_numbers(self, kind: Any) -> None:
        whole = (TABLE > 0).astype(kind)
        assert np.array_equal(np.asarray(self.read(whole)), np.asarray(self.read(whole.astype(np.float64))))

    @pytest.mark.parametrize("kind", REFUSED)
    def test_what_is_not_a_table_of_numbers_is_refused_by_name(self, kind: str) -> None:
        make, message = REFUSED[kind]
        values = make()
        if kind in self.takes:
            self.read(values)
            return
        with pytest.raises(ValueError, match=message) as caught:
            self.read(values)
        assert self.name in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_a_single_number_and_no_rows_are_refused(self) -> None:
        for values in (1.5, np.array(1.5), torch.tensor(1.5), np.zeros((4, 2))):
            with pytest.raises(ValueError, match=r"shape|rows"):
                self.read(values)
