"""A trained network is proven at all test images, its claim is checked apart; a forged one is not let through."""

from pathlib import Path

import numpy as np
import pytest

from experiments.engine.pages import END, Page
from experiments.engine.tables import read_table
from experiments.restoration import proof, scale
from tests.support.frozen_nets import random_net
from verify import certify


def test_a_claim_is_checked_in_a_process_of_its_own(tmp_path: Path) -> None:
    certificate = certify(random_net(3), np.zeros((2, 4)))
    certificate.save(tmp_path / "claim.npz")
    holds, seconds, megabytes = proof.checked(tmp_path / "claim.npz", certificate.net.fingerprint)
    assert holds
    assert seconds > 0
    assert 10 < megabytes < 400  # of the child alone
    assert not proof.checked(tmp_path / "claim.npz", "0" * 64)[0]


@pytest.mark.extra
def test_the_tiny_presets_end_with_tables(
    data_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("skimage")
    monkeypatch.setattr("experiments.energies.cells.FOLDER", tmp_path)
    for module, name in ((proof, "proof"), (scale, "scale")):
        page = Page(f"{name}.md", name, tmp_path)
        page.path.write_text(f"{page.begin} {END}")
        monkeypatch.setattr(module, "PAGE", page)
        module.main(["--out", str(tmp_path / f"{name}.csv"), "--render"])
        assert capsys.readouterr().out.splitlines()[-1] in page.path.read_text()
    (row,) = read_table(tmp_path / "proof.csv")
    assert (row["images"], row["proven"], row["checked"]) == (3, 3, 3)
    assert 0 < row["width"] < 1e-10
    (row,) = read_table(tmp_path / "scale.csv")
    assert row["gap"] <= 1e-4
    assert row["start_mb"] < row["peak_mb"] < 2_000
