"""The energy of images is the program's and the network's made by hand; the tiny sweep runs on the faces."""

from pathlib import Path

import numpy as np
import pytest
import torch

import decision
from experiments.energies import deciding, judging, networks, training
from experiments.energies.cells import Made, Prepared, without_learning
from experiments.engine.pages import END, Page
from experiments.restoration import cells, faces
from experiments.restoration.cells import main
from experiments.restoration.problem import Restoration
from socicnn.errors import MissingExtra


@pytest.fixture
def problem(monkeypatch: pytest.MonkeyPatch) -> Restoration:
    images = np.random.default_rng(1).random((9, 8, 8))
    monkeypatch.setattr("experiments.restoration.problem.faces", lambda side: images)
    return Restoration(8, (4, 2, 3))


def test_the_network_by_hand_is_the_energy_for_every_mask(problem: Restoration) -> None:
    for data in problem.splits():
        for x, theta, y in zip(data.x, data.context, data.y, strict=True):
            assert problem.by_hand(theta.numpy())(x.numpy()) == pytest.approx(y.numpy(), rel=1e-13)


def test_a_module_with_weights_per_position_is_the_energy_for_every_context(problem: Restoration) -> None:
    model, data = problem.module_by_hand(), problem.splits()[0]
    values = model(data.x, data.context[:, None])
    torch.testing.assert_close(values, data.y, rtol=1e-12, atol=1e-14)
    nets = model.freeze(data.context)
    assert nets(data.x[:, 2].numpy()) == pytest.approx(data.y[:, 2].numpy(), rel=1e-12)
    theta = problem.splits()[2].context[:1]
    answer = decision.decide(model, problem.box, theta, rtol=1e-6)
    assert bool(answer.certified.all())
    assert answer.value.numpy() == pytest.approx(problem.references(theta)[1], abs=1e-6)


def test_the_exact_program_is_the_energy(problem: Restoration) -> None:
    test = problem.splits()[2]
    x, least, _ = problem.references(test.context)
    program, variable, set_context = problem.program()
    for place, theta in enumerate(test.context.numpy()):
        set_context(theta)
        variable.value = x[place]
        assert program.objective.value == pytest.approx(least[place], rel=1e-12)
    assert (least[:, None] <= test.y.numpy()).all()


def test_slopes_are_those_of_the_energy(problem: Restoration) -> None:
    """Along a direction, beside a difference of two energies; and they teach `shape` the energy's minimiser."""
    train, validation, test = problem.splits()
    data = training.labelled(problem, train)
    assert data.gradient is not None
    step = 1e-5 * torch.randn(train.x.shape, dtype=torch.float64, generator=torch.manual_seed(0))
    ends = [problem.energy(train.x + sign * step, train.context[:, None]) for sign in (1, -1)]
    along = (data.gradient.double() * step).sum(dim=(-1, -2, -3))
    torch.testing.assert_close(along, (ends[0] - ends[1]) / 2, rtol=1e-3, atol=1e-9)
    made = [Made("shape", way, 0, (1, 3, 5), Path()) for way in ("within", "slopes")]
    assert [each.count(problem) for each in made] == [3 * problem.patience, 5]
    model = networks.make(problem, "shape", 0)
    best, least, _ = problem.references(test.context)
    before = deciding.certified(model, problem, test.context.float(), 1e-4).x
    training.train(model, "slopes", problem, train, validation, 60, 0)
    after = deciding.certified(model, problem, test.context.float(), 1e-4).x
    lost = [judging.regret(problem, x, test.context, least).mean() for x in (before, after)]
    assert lost[1] < 0.2 * lost[0]
    assert np.abs(after - best).mean() < 0.5 * np.abs(before - best).mean()


def test_blur_and_differences_of_a_known_image(problem: Restoration) -> None:
    image = np.zeros((8, 8))
    image[0, 7] = 1.0
    H, D1, D2 = problem.matrices()
    assert (H @ image.ravel()).reshape(8, 8) == pytest.approx(faces.blurred(image))
    down, right = (np.asarray(D @ image.ravel()).reshape(8, 8) for D in (D1, D2))
    assert (down[0, 7], right[0, 6], right[0, 7], np.abs(down).sum() + np.abs(right).sum()) == (-1.0, 1.0, 0.0, 2.0)
    # mean of Lap^2 is (2^2 + 1 + 1) / 64; two pixels have a difference of 1, of length 1 with the rounding
    flat = np.sqrt(1e-4)
    energy = 0.035 / 2 * 6 / 64 + 0.055 * (62 * flat + 2 * np.sqrt(1 + 1e-4)) / 64
    theta = torch.zeros(2, 8, 8, dtype=torch.float64)
    assert float(problem.energy(torch.from_numpy(image)[None], theta)) == pytest.approx(energy, rel=1e-12)


def test_faces_stand_upright(data_folder: Path) -> None:
    images = faces.faces(64)
    assert images.shape == (400, 64, 64)
    # a face is nearly symmetric from left to right, not from top to bottom
    mirrored = np.abs(images - images[:, :, ::-1]).mean()
    assert mirrored < 0.7 * np.abs(images - images[:, ::-1]).mean()


@pytest.mark.extra
def test_the_tiny_sweep_ends_with_a_table(
    data_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("skimage")
    monkeypatch.setattr("experiments.energies.cells.FOLDER", tmp_path)
    main(["--preset", "tiny", "--out", str(tmp_path / "table.csv")])
    printed = capsys.readouterr().out
    assert "| 8 | soc | within | certified |" in printed
    assert "| 8 | shape | within | certified |" in printed
    assert "| 8 | shape | slopes | certified |" in printed


@pytest.mark.extra
def test_the_page_gets_its_table_and_figure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, problem: Restoration
) -> None:
    pytest.importorskip("matplotlib")
    pytest.importorskip("skimage")
    from experiments.restoration import page

    monkeypatch.setattr(page, "PAGE", Page("page.md", "make", tmp_path))
    monkeypatch.setattr(page, "FIGURE", tmp_path / "figure.png")
    monkeypatch.setattr(page, "SHOWN", (("shape", "within"),))
    page.PAGE.path.write_text(f"head {page.PAGE.begin} old {END} tail")
    prepared = Prepared.of(problem)
    made = Made("shape", "within", 0, (1, 1, 1), tmp_path)
    made.trained(prepared)
    rows = [{"side": 8, "name": "exact", "way": "none", **row} for row in without_learning(prepared)]
    page.render(rows, prepared, (1, 1, 1), tmp_path, 1e-3)
    assert "| 8 | - | - | total variation |" in page.PAGE.path.read_text()
    assert "| 8 | - | - | exact, proven |" in page.PAGE.path.read_text()
    assert rows[1]["gap"] == pytest.approx(0.0, abs=1e-6)
    assert page.FIGURE.stat().st_size > 5_000
    shown = page.images(prepared, [made], 1e-3)
    assert list(shown) == ["clean", "observed", "total variation", "exact", "shape, within"]
    assert shown["clean"] == pytest.approx(prepared.test.clean[:2].numpy())
    assert np.abs(shown["shape, within"] - 0.5).max() <= 0.5


def test_without_scikit_image_nothing_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cells, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"scikit-image: pip install 'socicnn\[experiments,images\]'"):
        cells.prepared(8, (1, 1, 1))
