"""The positivity experiment on its small preset: rows, interruption and resuming, tables and plots."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from experiments.engine.tables import parsed, read_table
from experiments.positivity.arms import ARMS, PRESETS, cells, main, widened
from experiments.positivity.cost import RECIPES
from experiments.positivity.cost import main as cost
from experiments.positivity.jobs import as_linear_layers, fit_block, start
from experiments.positivity.tables import missing, rendered
from socicnn.nn import load

ROOT = Path(__file__).parents[3]
COLUMNS = ("target", "arm", "initialiser", "learning_rate", "seed", "steps", "tv", "nll", "seconds")


def untimed(path: Path) -> list[dict[str, object]]:
    return [{c: v for c, v in row.items() if c not in ("seconds", "fingerprint")} for row in read_table(path)]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("positivity") / "positivity.csv"
    main(["--preset", "tiny", "--out", str(path)])
    return path


def test_a_row_a_seed_with_every_column(table: Path) -> None:
    rows, found = read_table(table), cells("tiny", table)
    assert len(rows) == sum(len(cell.settings["seeds"]) for cell in found)
    assert {row["seed"] for row in rows} == {0, 1, 2, 3}
    for row in rows:
        assert set(COLUMNS) <= set(row)
        assert 0 < row["tv"] < 1
        assert row["seconds"] > 0
    # total variation and likelihood agree on which fits are better than the worst
    for name in ("gumbel", "gamma_mode"):
        of = sorted((row for row in rows if row["target"] == name), key=lambda row: row["tv"])
        assert of[0]["nll"] < of[-1]["nll"]


def test_a_killed_run_goes_on_where_it_was(table: Path, tmp_path: Path) -> None:
    out = tmp_path / table.name
    code = (
        "import os, signal, sys; from experiments.engine import store; from experiments.positivity.arms import main\n"
        "keep, left = store.Store.keep, [int(sys.argv[2])]\n"
        "def counted(self, *given):\n"
        "    keep(self, *given)\n"
        "    left[0] -= 1\n"
        "    left[0] or os.kill(os.getpid(), signal.SIGKILL)\n"
        "store.Store.keep = counted\n"
        "main(['--preset', 'tiny', '--out', sys.argv[1]])\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(out), "3"], cwd=ROOT, check=False)
    assert killed.returncode == -signal.SIGKILL
    finished = sorted(out.with_suffix(".cells").glob("*.json"))
    assert len(finished) == 3
    before = [path.stat().st_mtime_ns for path in finished]
    main(["--preset", "tiny", "--out", str(out)])
    assert [path.stat().st_mtime_ns for path in finished] == before
    assert untimed(out) == untimed(table)


def test_the_table_grows_over_several_runs(table: Path, tmp_path: Path) -> None:
    out = tmp_path / "positivity.csv"
    chosen = ["--preset", "tiny", "--out", str(out), "--only", "arm=lift", "initialiser=principled"]
    main([*chosen, "target=gumbel", "block=0"])
    assert [row["seed"] for row in read_table(out)] == [0, 1]
    text = out.with_suffix(".md").read_text()
    assert "31 of 32 cells have not been run" in text
    assert "| lift | principled | 0.001 | 1 / 2 | 0 / 2 |" in text
    main([*chosen, "target=gumbel", "block=1"])
    key = ("lift", "principled", "gumbel")
    wanted = [row for row in untimed(table) if (row["arm"], row["initialiser"], row["target"]) == key]
    assert untimed(out) == wanted


def test_tables_and_plots_are_made_of_the_rows(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--preset", "tiny", "--out", str(table), "--render"])
    text, rows = capsys.readouterr().out, read_table(table)
    assert text.startswith(rendered(rows, [cell.key for cell in cells("tiny", table)]))
    values = sorted(row["tv"] for row in rows if (row["arm"], row["target"]) == ("lift-independent", "gumbel"))
    assert f"| lift-independent | principled | 0.001 | {(values[1] + values[2]) / 2:.3g} [" in text
    likelihoods = sorted(row["nll"] for row in rows if (row["arm"], row["target"]) == ("lift-independent", "gumbel"))
    assert f"| {(likelihoods[1] + likelihoods[2]) / 2:.4f} [" in text
    assert not missing(rows, [cell.key for cell in cells("tiny", table)])
    for name in ("densities", "histograms", "arms"):
        picture = table.parent / f"positivity_{name}.png"
        assert f"plot: {picture}" in text
        assert picture.read_bytes().startswith(b"\x89PNG")


def test_seeds_at_once_are_the_same_seeds_apart() -> None:
    settings = {
        "given": {"given": "lift"}, "hidden": [6, 6], "steps": 8, "batch": 16, "points": 50, "models": "", "version": 1,
    }  # fmt: skip
    key = ("gumbel", "lift", "principled", 1e-3, 1)
    once, apart = (fit_block(*key, seeds=[2, 3], stacked=stacked, **settings) for stacked in (True, False))
    for one, other in zip(once, apart, strict=True):
        assert one["seed"] == other["seed"]
        assert one["tv"] == pytest.approx(other["tv"], rel=1e-3)


def test_arms_of_a_seed_start_alike() -> None:
    """The same weights, whatever recipe holds them, and the same maps of x."""
    plain = start(1, (8, 8), {"given": "softplus"}, "seed", 3).network
    other = start(1, (8, 8), {"given": "projected"}, "seed", 3).network
    torch.testing.assert_close(plain.W[0](), other.W[0](), rtol=1e-3, atol=2e-6)
    assert torch.equal(plain.U[1], other.U[1])


def test_the_authors_start_has_a_third_of_the_variance_in_the_maps_of_x() -> None:
    network = start(4, (300, 300), {"given": "projected"}, "folded", 0).network
    weights = network.W[0]().clone()
    before = network.U[1].var().item()
    as_linear_layers(network, torch.Generator().manual_seed(0))
    assert torch.equal(network.W[0](), weights)
    assert network.U[1].abs().max() <= 0.5
    assert network.U[1].var().item() == pytest.approx(before / 3, rel=0.15)
    assert network.vectors(None)["b1"].abs().max() > 0.4
    assert not network.vectors(None)["b2"].any()


def test_the_kept_network_is_plain(table: Path) -> None:
    found = sorted(table.with_suffix(".models").glob("*.safetensors"))
    assert len(found) == 16
    assert all(load(path).positivity.name == "projected" for path in found)


def test_the_paper_preset_covers_what_it_says() -> None:
    found, preset = cells("paper", Path("experiments/results/positivity.csv")), PRESETS["paper"]
    assert len(found) == 7 * len(ARMS) * 6 + 2 * 6
    assert {cell.key["arm"] for cell in found if cell.key["block"] >= 6} == {"lift", "softplus"}
    assert preset.blocks * preset.seeds == 30
    assert found[0].settings["hidden"] == [128, 128, 128]
    wanted = {"lift", "lift-constant", "lift-single", "lift-independent", "lift-moments", "noisy", "softplus-widened"}
    wanted |= {"softplus", "projected", "relu", "exp", "square", "admm-fixed", "admm-balancing", "admm-doubling"}
    assert wanted <= {arm.name for arm in ARMS}
    assert not Path(found[0].settings["models"]).is_absolute()


def test_every_kept_row_counts() -> None:
    """A row whose fingerprint no cell has is left out, and the next run makes it again."""
    kept = Path("experiments/results/positivity.csv")
    rows, marks = read_table(ROOT / kept), {cell.fingerprint for cell in cells("paper", kept)}
    assert {parsed(mark) for mark in marks} >= {row["fingerprint"] for row in rows}


def test_the_widened_network_has_as_many_parameters_as_the_lift() -> None:
    def count(widths: tuple[int, ...], recipe: str) -> int:
        return sum(p.numel() for p in start(1, widths, {"given": recipe}, "principled", 0).parameters())

    wide = widened((16, 16))
    assert count(wide, "softplus") >= count((16, 16), "lift") > count(tuple(w - 1 for w in wide), "softplus")


def test_costs_are_ratios_of_one_run(capsys: pytest.CaptureFixture[str]) -> None:
    cost(["--rounds", "1", "--hidden", "4", "4", "--batch", "8", "--seeds", "1", "2"])
    text = capsys.readouterr().out
    assert text.count("| softplus |") == 2
    assert "1 [1, 1]" in text
    assert text.count("| lift, ") == 2 * (len(RECIPES) - 3)
    assert "2 energies at once" in text
    assert text.count("% of the training time") == 2
