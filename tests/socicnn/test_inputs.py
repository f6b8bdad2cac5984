"""The contract of inputs, for each function that reads numbers."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from socicnn import SOCICNN, ConvexRegressor, FrozenNet
from socicnn.errors import ModelError
from socicnn.frozen import Output, Quadratic
from socicnn.positivity import HyperNetwork
from socicnn.training import fit, fit_stacked
from tests.contracts.inputs import TABLE, InputContract

Y = np.array([1.0, 2.0, 0.0, 1.5])


def network(context: int = 0, **settings: Any) -> SOCICNN:
    draw = torch.Generator().manual_seed(0)
    return SOCICNN(3, (4, 4), context_features=context, dtype=torch.float64, generator=draw, **settings)


def trained(model: nn.Module) -> torch.Tensor:
    return torch.nn.utils.parameters_to_vector(model.parameters()).detach()


class TestFitX(InputContract):
    name = "x"

    def read(self, values: Any) -> Any:
        model = network()
        fit(model, (values, Y), epochs=2, validation=0, progress=False)
        return trained(model)


class TestFitContext(InputContract):
    name = "context"

    def read(self, values: Any) -> Any:
        model = network(3)
        fit(model, (TABLE, values, Y), epochs=2, validation=0, progress=False)
        return trained(model)


class TestFitY(InputContract):
    name = "y"

    def read(self, values: Any) -> Any:
        model = network()
        x = np.arange(36.0).reshape(4, 3, 3)
        fit(model, (x, values), epochs=2, validation=0, progress=False)
        return trained(model)


class TestFitStacked(InputContract):
    name = "x"

    def read(self, values: Any) -> Any:
        model = network()
        fit_stacked([model], (values, Y), epochs=2, validation=0, progress=False)
        return trained(model)


class TestFreezeAtContexts(InputContract):
    name = "context"

    def read(self, values: Any) -> Any:
        return network(3).freeze(values)(np.ones((4, 3)))


class TestFrozenPoints(InputContract):
    name = "x"

    def read(self, values: Any) -> Any:
        return FrozenNet([], Output([], [0.0, 1.0, 2.0]), [Quadratic(1.0, np.eye(3))])(values)


def lifted(context: int = 0) -> SOCICNN:
    """A lift whose weights depend on its data, which they do not at the start."""
    model = network(context, positivity="lift")
    fit(model, (TABLE, *([TABLE] if context else []), Y), epochs=2, validation=0, progress=False)
    return model


class TestFinaliseX(InputContract):
    name = "x"

    def read(self, values: Any) -> Any:
        return trained(lifted().finalise(values))


class TestFinaliseContext(InputContract):
    name = "context"

    def read(self, values: Any) -> Any:
        return trained(lifted(3).finalise((TABLE, values)))


class TestFinaliseAModule(InputContract):
    name = "train_data"

    def read(self, values: Any) -> Any:
        torch.manual_seed(0)
        module = nn.Sequential(nn.Linear(3, 4), nn.Softplus(), nn.Linear(4, 1)).double()
        module[2].weight._pos_required = True
        wrapped = HyperNetwork(3, [4], module, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            wrapped.weights[0].head += 1.0
        return trained(wrapped.finalise(values))


def test_finalise_keeps_to_the_type_of_the_network() -> None:
    model = lifted().float()
    with pytest.raises(ModelError, match="x has 12 non-finite entries in float32"):
        model.finalise(1e200 * np.sign(TABLE + 10.0))
    assert torch.equal(trained(model.finalise(TABLE)), trained(model.finalise(torch.tensor(TABLE).float())))


def test_finalise_refuses_a_training_set_without_points() -> None:
    for model, data in ((lifted(), TABLE[:0]), (lifted(3), (TABLE[:0], TABLE[:0]))):
        with pytest.raises(ModelError, match="batch is empty; give at least one point"):
            model.finalise(data)
    with pytest.raises(ModelError, match=r"x must have shape \(\*batch, 3\); received \(4, 2\)"):
        lifted().finalise(TABLE[:, :2])
    with pytest.raises(ModelError, match="context is missing"):
        lifted(3).finalise(TABLE)


@pytest.mark.parametrize(
    "values", [np.zeros((4, 3), np.float32), [[0.0] * 3] * 4, 1.0], ids=["array", "list", "number"]
)
def test_a_forward_pass_says_how_to_make_a_tensor(values: Any) -> None:
    """An array of float32 was told to be converted to torch.float32; a list ended in an AttributeError."""
    said = r"must be a torch tensor; received .*: make one by torch.tensor\(np.asarray\(.*\), dtype=torch.float64\)"
    with pytest.raises(ModelError, match=f"x {said}"):
        network()(values)
    with pytest.raises(ModelError, match=f"context {said}"):
        network(3)(torch.tensor(TABLE), values)


def test_contexts_of_narrower_types_are_lifted_and_wider_ones_refused() -> None:
    model, x, theta = network(3), torch.tensor(TABLE), torch.tensor(TABLE).round()
    assert all(torch.equal(model(x, theta.to(kind)), model(x, theta)) for kind in (torch.float32, torch.int64))
    with pytest.raises(ModelError, match=r"context has type torch.float64, the network torch.float32; convert one"):
        model.float()(x.float(), theta)


def test_arrow_columns_of_dates_beside_numbers_are_refused() -> None:
    """NumPy finds no common type of them, and said so in its own words."""
    arrow = pytest.importorskip("pyarrow")
    numbers = arrow.table({"wind": [1.0, 2.0], "price": [2, 3]})
    dated = numbers.append_column("day", [np.array(["2026-01-01", "2026-01-02"], dtype="datetime64[D]")])
    said = "must hold real numbers; received dates or times beside numbers"
    for call in (
        lambda: ConvexRegressor("quad").fit(dated, [0.0, 1.0]),
        lambda: ConvexRegressor("quad").fit(numbers, dated),
        lambda: fit(SOCICNN(3), (dated, [0.0, 1.0]), epochs=1),
    ):
        with pytest.raises(ModelError, match=said):
            call()
