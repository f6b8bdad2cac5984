"""Recurrent networks: the contract for each case, the formula by another road, the start, and refusals."""

from pathlib import Path

import pytest
import torch

import socicnn
from socicnn.errors import ModelError
from socicnn.nn import Conv, RecurrentSOCICNN
from tests.contracts.networks import NetworkContract
from tests.support.cases import RECURRENT, Case, generator


@pytest.mark.parametrize("case", RECURRENT, ids=lambda case: case.name)
class TestRecurrent(NetworkContract):
    @pytest.fixture(autouse=True)
    def _case(self, case: Case) -> None:
        self.case = case


@pytest.mark.parametrize("shared", [True, False])
def test_formula_is_the_one_written_out(shared: bool) -> None:
    settings = {"generator": generator(0), "dtype": torch.float64, "shared": shared}
    model = RecurrentSOCICNN((4, 3), 5, (), (Conv(4, 3, group=2),), **settings)
    x = torch.randn(4, 3, generator=generator(1), dtype=torch.float64)
    part = dict(model.vectors(None))
    W = model.W()
    assert len(W) == (1 if shared else 3)
    z = torch.zeros(5, dtype=torch.float64)
    for t in range(4):
        now = 0 if shared else t
        before = W[0] if shared else W[t - 1]
        z = torch.relu((before @ z if t else 0) + model.U[now] @ x[t] + part["b"][:, now])
    u = torch.nn.functional.conv1d(x.T[None], model.norms[0].kernel, padding=1)[0] + part["d1"]
    lengths = torch.stack([u[g : g + 2, t].norm() for g in (0, 2) for t in range(4)])
    expected = part["w"] @ z + (x * part["v"].T).sum() + part["c"] + part["gamma"][0] * lengths.mean()
    torch.testing.assert_close(model(x), expected)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("initialiser", ["principled", "folded"])
def test_a_long_horizon_neither_explodes_nor_dies_at_the_start(shared: bool, initialiser: str) -> None:
    for seed in range(5):
        settings = {"generator": generator(seed), "shared": shared, "initialiser": initialiser}
        model = RecurrentSOCICNN((80, 4), 20, **settings, dtype=torch.float64)
        x = torch.randn(50, 80, 4, generator=generator(9), dtype=torch.float64)
        z = torch.stack(model.hidden(x, model.vectors(None)))
        assert z.max() < 30
        shares = (z > 0).double().mean(dim=(1, 2))
        assert shares.min() > 0.2
        assert shares[1:].mean() > 0.35
        for W in model.W():
            assert torch.linalg.eigvals(W.detach()).abs().max() < 0.9 + 1e-12


@pytest.mark.parametrize(
    ("arguments", "settings", "message"),
    [
        (((4,),), {}, r"input_shape must be \(T, features\)"),
        (((0, 2),), {}, r"input_shape must be \(T, features\)"),
        (((4, 2), 0), {}, "hidden_features must be an integer >= 1; received 0"),
        (((4, 2), (3, 3)), {}, "hidden_features must be an integer >= 1"),
        (((4, 2), 3, 2), {}, "quadratic lists the branches, one entry each; received 2"),
        (((4, 2), 3, ("all",)), {}, "each entry of quadratic must be rows >= 1, 'diagonal'"),
        (((4, 2), 3, (Conv(2, 3, group=1),)), {}, "group of a quadratic branch must be left out"),
        (((4, 2), 3, (), (Conv(3, 3, group=2),)), {}, "group of a norm branch must divide its 3 channels; received 2"),
        (((4, 2),), {"activation": "tanh"}, "unknown activation 'tanh'"),
        (((4, 2),), {"context_features": 1, "context_channels": 1}, "not both"),
        (((4, 2),), {"context_features": -1}, "context_features must be an integer >= 0"),
        (
            ((4, 2),),
            {"context_features": 2, "context": "joint", "quadratic_offset": False},
            "a joint context enters the quadratics through their offsets",
        ),
    ],
)
def test_refusals_name_the_argument(arguments, settings, message) -> None:
    with pytest.raises(ModelError, match=message):
        RecurrentSOCICNN(*arguments, **settings)


@pytest.mark.parametrize("hidden_features", [1, 20, 21, 25, 49])
def test_networks_of_any_width_come_back_from_files(hidden_features: int, tmp_path: Path) -> None:
    """Loading begins with equal weights, whose eigenvalues LAPACK does not find at some sizes."""
    model = RecurrentSOCICNN((5, 2), hidden_features, dtype=torch.float64)
    socicnn.save(model, tmp_path / "model.safetensors")
    x = torch.rand(3, 5, 2, dtype=torch.float64)
    assert torch.equal(socicnn.load(tmp_path / "model.safetensors")(x), model(x))


def test_parameter_counts_of_smooth_branches() -> None:
    """A matrix or a kernel over time, an offset per row or channel, and alpha, or omega per row or channel."""
    count = lambda **more: sum(p.numel() for p in RecurrentSOCICNN((6, 2), 3, (), (), **more).parameters())  # noqa: E731
    base = count()
    assert count(logsumexp=(4, Conv(4, 3, group=2))) - base == (4 * 12 + 4 + 1) + (4 * 2 * 3 + 4 + 1)
    assert count(logistic=(4, Conv(5, 3), "diagonal")) - base == (4 * 12 + 2 * 4) + (5 * 2 * 3 + 2 * 5) + (12 + 2 * 12)
