"""The theory's studies: the bounds, the slopes, the counts, and the table that is kept."""

from pathlib import Path

import numpy as np
import pytest

from experiments.engine.options import RESULTS
from experiments.engine.tables import Row, grouped, read_table
from experiments.theory import absorption, operations, pieces
from experiments.theory.planes import excess, grid, tangents
from experiments.theory.plots import plots
from experiments.theory.study import cells, main, order, rendered, slope


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("theory") / "theory.csv"
    main(["--preset", "tiny", "--out", str(path)])
    return path


def rows_of(study: str, table: Path) -> list[Row]:
    return [row for row in read_table(table) if row["study"] == study]


@pytest.mark.parametrize("n", [1, 2, 3])
def test_the_excess_is_the_largest_difference_over_the_box(n: int) -> None:
    rng = np.random.default_rng(n)
    slopes, offsets = rng.normal(size=(7, n)), rng.normal(size=7)
    f = lambda x: np.exp(x).sum(axis=1)  # noqa: E731 (local shorthand)
    found = excess(f, slopes, offsets)
    x = np.stack(np.meshgrid(*[np.linspace(-1, 1, 41)] * n), axis=-1).reshape(-1, n)
    sampled = (f(x) - (x @ slopes.T + offsets).max(axis=1)).max()
    assert sampled <= found + 1e-12
    assert found <= sampled + 0.2 * np.e * np.sqrt(n)  # Lipschitz constant times the mesh


@pytest.mark.parametrize("n", [1, 2, 3])
def test_tangents_of_a_bowl_need_pieces_by_the_power_of_the_bound(n: int) -> None:
    """A cube of side 2/k lies within sqrt(n)/k of its centre: the shifted error is n / (4 k^2), a slope of -n/2."""
    counts, errors = [], []
    for side in (2, 3, 4):
        slopes, offsets = pieces.tangent_pieces(n, side, 0)
        errors.append(pieces.error_of(slopes, offsets))
        counts.append(float(len(offsets)))
        assert errors[-1] == pytest.approx(n / (4 * side**2), rel=1e-9)
        assert counts[-1] >= pieces.fewest(n, errors[-1]) * (1 - 1e-9)
    assert slope(errors, counts) == pytest.approx(-n / 2, rel=1e-9)


def test_in_one_dimension_the_bound_is_sharp() -> None:
    assert pieces.fewest(1, pieces.error_of(*pieces.tangent_pieces(1, 5, 0))) == pytest.approx(5)


def test_the_volume_of_the_ball_is_that_of_each_dimension() -> None:
    volumes = [2.0**n / pieces.fewest(n, 0.25) for n in (1, 2, 3, 4)]
    assert volumes == pytest.approx([2, np.pi, 4 / 3 * np.pi, np.pi**2 / 2])


def test_no_approximation_has_fewer_pieces_than_the_bound(table: Path) -> None:
    rows = rows_of("pieces", table)
    assert {row["way"] for row in rows} == set(pieces.WAYS)
    for row in rows:
        assert row["pieces"] >= row["bound"] * (1 - 1e-9)


@pytest.mark.parametrize(("n", "sides"), [(1, (16, 32, 64)), (2, (6, 8, 12)), (3, (6, 8, 10))])
def test_tangents_of_the_residual_leave_the_error_of_the_proposition(n: int, sides: tuple[int, ...]) -> None:
    rows = [
        absorption.measured(
            preset="", study="", way="structure and tangents", n=n, number=side, repetition=0, version=1
        )[0]
        for side in sides
    ]
    counts, errors = ([float(row[name]) for row in rows] for name in ("pieces", "error"))
    assert slope(counts, errors) == pytest.approx(-2 / n, rel=0.05)
    assert all(row["error"] <= row["bound"] for row in rows)


def test_the_network_of_the_proposition_has_that_error(table: Path) -> None:
    rows = [row for row in rows_of("absorption", table) if row["way"] == "structure and tangents"]
    for row in rows:
        assert 0.5 * row["error"] <= row["network_error"] <= row["error"] * (1 + 1e-9)
    net = absorption.network(2, 3)
    assert (len(net.quadratics), len(net.norms)) == (1, 1)
    backbone = type(net)(net.layers, net.output)
    assert len(backbone.max_affine(box=(-1.0, 1.0))) == 9


def test_structure_saves_pieces(table: Path) -> None:
    errors = {(row["way"], row["n"], row["pieces"]): row["error"] for row in rows_of("absorption", table)}
    for (way, n, count), error in errors.items():
        if way == "all tangents":
            assert errors["structure and tangents", n, count] < error / 3


def test_the_gradients_of_the_target_are_those_of_its_values() -> None:
    x, step = np.random.default_rng(0).uniform(-1, 1, size=(20, 3)), 1e-6
    for f, gradient in (
        (absorption.residual, absorption.residual_slope),
        (absorption.whole, absorption.whole_slope),
    ):
        differences = [(f(x + step * e) - f(x - step * e)) / (2 * step) for e in np.eye(3)]
        np.testing.assert_allclose(gradient(x), np.stack(differences, axis=1), atol=1e-8)
        a, b = tangents(f, gradient, grid(3, 2))
        assert (f(x)[:, None] >= x @ a.T + b - 1e-12).all()


@pytest.mark.parametrize("kind", ["quadratic", "norm"])
def test_every_branch_adds_its_rows_times_n_operations(kind: str) -> None:
    """Counted as torch runs them: linear in the number of branches, and the formula to the last operation."""
    numbers = (0, 1, 3, 7)
    counts = [operations.counted(*((m, 0) if kind == "quadratic" else (0, m))) for m in numbers]
    assert counts == [operations.formula(m, 0) for m in numbers]
    gains = np.diff(counts) / np.diff(numbers)
    assert gains.tolist() == [operations.ROWS * operations.N] * 3
    assert operations.counted(2, 3) == operations.formula(2, 3)


def test_the_kept_table_is_that_of_the_paper_preset() -> None:
    rows = read_table(RESULTS / "theory.csv")
    keys = [{name: row[name] for name in cell.key} for row, cell in zip(rows, cells("paper"), strict=True)]
    assert keys == [dict(cell.key) for cell in cells("paper")]
    for row in rows:
        if row["study"] == "pieces":
            assert row["pieces"] >= row["bound"] * (1 - 1e-9)
        elif row["way"] == "structure and tangents":
            assert row["error"] <= row["bound"]
        elif row["study"] == "operations":
            assert row["operations"] == row["formula"]
    for (way, n), members in grouped([row for row in rows if row["study"] == "absorption"], ("way", "n")).items():
        if way == "structure and tangents":
            assert order(members) == pytest.approx(-2 / n, rel=0.05)


def test_the_page_quotes_the_kept_table() -> None:
    page = (Path(__file__).parents[3] / "docs" / "results" / "theory.md").read_text(encoding="utf-8")
    for line in rendered(read_table(RESULTS / "theory.csv")).splitlines():
        assert line in page


def test_figures_are_written_beside_the_table(table: Path) -> None:
    pytest.importorskip("matplotlib", reason="pip install 'socicnn[plot]'")
    written = plots(read_table(table), table)
    assert [path.name for path in written] == [
        f"theory_{study}.png" for study in ("pieces", "absorption", "operations")
    ]
    assert all(path.stat().st_size > 5000 for path in written)
