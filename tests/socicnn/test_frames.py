"""Frames whose columns are not those that a network was trained with are refused; arrays go by position."""

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cvxpy as cp
import numpy as np
import pandas as pd
import pytest
import safetensors
import torch

import decision
import socicnn
import verify
from decision import Decider, DecisionLayer
from decision.learning import Ensemble
from decision.sets import Box
from socicnn import SOCICNN, ConvexRegressor
from socicnn._frames import column_names, refuse_other_columns
from socicnn._ranges import Ranges
from socicnn.density import PotentialFlow, negative_log_likelihood
from socicnn.density import fit as fit_density
from socicnn.errors import ModelError
from socicnn.positivity import HyperNetwork
from socicnn.training import Data, FitOptions, fit, fit_stacked
from socicnn.training._data import as_data, joined, stacked

X, THETA = ["P", "Q"], ["wind", "price"]
ENDS = np.full(2, -1.0), np.full(2, 1.0)
BOX = Box(2, *ENDS)
SAID = r"context has the columns \['price', 'wind'\], but the network is trained with \['wind', 'price'\] in this order"
SAID_OF_X = r"x has the columns \['Q', 'P'\], but the network is trained with \['P', 'Q'\] in this order"


def frames(rows: int = 24, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame, pd.Series]:
    rng = np.random.default_rng(seed)
    x = pd.DataFrame(rng.uniform(-1, 1, (rows, 2)), columns=X)
    theta = pd.DataFrame(rng.normal(size=(rows, 2)), columns=THETA)
    return x, theta, (x["P"] - theta["wind"]) ** 2 + x["Q"] ** 2


def network(context: int = 2, seed: int = 0) -> SOCICNN:
    draw = torch.Generator().manual_seed(seed)
    return SOCICNN(2, (3,), context_features=context, dtype=torch.float64, generator=draw)


def trained(context: int = 2) -> SOCICNN:
    x, theta, y = frames()
    model = network(context)
    fit(model, (x, theta, y) if context else (x, y), loss="mse", epochs=1, progress=False)
    return model


def names_of(model: Any) -> tuple[Any, Any]:
    return model.ranges.x_names, model.ranges.context_names


def test_every_way_of_fitting_keeps_the_names() -> None:
    x, theta, y = frames()
    models = [network(seed=seed) for seed in range(4)]
    fit(models[0], Data(x, theta, y), loss="mse", epochs=1, progress=False)
    fit_stacked(models[1:3], (x, theta, y), loss="mse", epochs=1, progress=False)
    grouped = torch.rand(24, 5, 2, dtype=torch.float64)
    decision.fit(models[3], (grouped, theta, grouped.square().sum(dim=2)), epochs=1, progress=False)
    assert [names_of(model) for model in models] == [(("P", "Q"), ("wind", "price"))] * 3 + [(None, ("wind", "price"))]
    table = pd.concat([x, theta], axis=1)[["wind", "Q", "price", "P"]]
    for kind in ("stacked", "relu"):
        regressor = ConvexRegressor(kind, hidden=(2,), context=["price", "wind"], random_state=0).fit(table, y)
        assert names_of(regressor.network_) == (("Q", "P"), ("price", "wind"))
    plain = ConvexRegressor("stacked", hidden=(2,), random_state=0).fit(x, y)  # with planes
    assert names_of(plain.network_) == (("P", "Q"), None)
    arrays = ConvexRegressor("relu", hidden=(2,), random_state=0).fit(x.to_numpy(), y)
    assert names_of(arrays.network_) == (None, None)


def test_data_keep_their_names() -> None:
    x, theta, y = frames()
    data = as_data((x, theta, y))
    parts = [*data.split(4, torch.Generator()), data[:3], data.to(torch.float32), as_data(data), data.gathered()[0]]
    for part in [*parts, joined(*data.split(4, torch.Generator())), stacked([data, data])]:
        assert (part.x_names, part.context_names) == (("P", "Q"), ("wind", "price"))
    again = Data(data.x, data.context, data.y, x_names=("P", "Q"))
    assert (again.x_names, again.context_names) == (("P", "Q"), None)
    assert Data(x, None, y, x_names=("P", "Q")).x_names == ("P", "Q")
    candidates = Data(x, None, x.to_numpy())  # a column per candidate of one entry
    assert candidates.x_names is None
    assert as_data((x, x.to_numpy())).x_names is None
    with pytest.raises(
        ModelError, match=r"x has the columns \['P', 'Q'\], but the network is trained with \['Q', 'P'\]"
    ):
        Data(x, None, y, x_names=("Q", "P"))
    for wrong in (("P",), "PQ", ("P", 1), 3):
        with pytest.raises(ModelError, match="x_names must be a tuple of texts, one per column; received"):
            Data(data.x, None, data.y, x_names=wrong)  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="context_names must be a tuple of texts"):
        Data(data.x, None, data.y, context_names=("wind",))


CONTEXTS: dict[str, Callable[[Any, Any], Any]] = {
    "decide": lambda model, theta: decision.decide(model, BOX, theta),
    "Decider": lambda model, theta: Decider(model, BOX)(theta),
    "DecisionLayer": lambda model, theta: DecisionLayer(model, BOX)(theta),
    "ensemble": lambda model, theta: decision.decide(Ensemble([model, model]), BOX, theta),
    "equivalence": lambda model, theta: verify.equivalence(model, np.zeros((2, 2)), theta, solvers=()),
    "certify": lambda model, theta: verify.certify(model, np.zeros((2, 2)), theta),
    "Certifier": lambda model, theta: verify.Certifier(model)(np.zeros((2, 2)), theta),
    "to_cvxpy": lambda model, theta: socicnn.to_cvxpy(model, cp.Variable(2), theta),
    "value_program": lambda model, theta: socicnn.value_program(model, theta),
    "freeze": lambda model, theta: model.freeze(theta),
    "outside_context": lambda model, theta: model.ranges.outside_context(theta),
}
ROWS: dict[str, Callable[[Any, Any], Any]] = {
    "falsify": lambda model, theta: verify.falsify(model, ENDS, theta, evaluations=5000),
    "ContextParameters": lambda model, theta: socicnn.ContextParameters(model).assign(theta),
}


@pytest.mark.parametrize("ask", CONTEXTS.values(), ids=CONTEXTS)
def test_contexts_in_another_order_are_refused(ask: Callable[[Any, Any], Any]) -> None:
    model, theta = trained(), frames()[1][:2]
    ask(model, theta)
    ask(model, theta[THETA[::-1]].to_numpy())
    ask(model, theta.set_axis([0, 1], axis=1))
    with pytest.raises(ModelError, match=SAID + r"; give frame\[\['wind', 'price'\]\], or .to_numpy\(\) to go by"):
        ask(model, theta[THETA[::-1]])
    with pytest.raises(ModelError, match=r"context has the columns \['wind', 'cost'\].*; give them by these names, or"):
        ask(model, theta.rename(columns={"price": "cost"}))


@pytest.mark.parametrize("ask", [*CONTEXTS.values(), *ROWS.values()], ids=[*CONTEXTS, *ROWS])
def test_rows_of_a_frame_in_another_order_are_refused(ask: Callable[[Any, Any], Any]) -> None:
    model, row = trained(), frames()[1].iloc[0]
    ask(model, row)
    ask(model, row.to_numpy())
    ask(model, pd.Series(row.to_numpy()))
    with pytest.raises(ModelError, match=SAID):
        ask(model, row[THETA[::-1]])


POINTS: dict[str, Callable[[Any, Any], Any]] = {
    "equivalence": lambda model, x: verify.equivalence(model, x, solvers=()),
    "certify": lambda model, x: verify.certify(model, x),
    "Certifier": lambda model, x: verify.Certifier(model)(x),
    "outside_x": lambda model, x: model.ranges.outside_x(x),
}


@pytest.mark.parametrize("ask", POINTS.values(), ids=POINTS)
def test_points_in_another_order_are_refused(ask: Callable[[Any, Any], Any]) -> None:
    model, x = trained(context=0), frames()[0]
    for passes in (x, x[X[::-1]].to_numpy(), x.iloc[0]):
        ask(model, passes)
    for points in (x[X[::-1]], x.iloc[0][X[::-1]]):
        with pytest.raises(ModelError, match=SAID_OF_X):
            ask(model, points)


def test_starts_bounds_and_the_data_of_finalise_are_points() -> None:
    model, x = trained(context=0), frames()[0]
    low, high = (pd.Series(end, index=X) for end in ENDS)
    decision.decide(model, BOX, start=x.iloc[0])
    with pytest.raises(ModelError, match="start has the columns"):
        decision.decide(model, BOX, start=x.iloc[0][X[::-1]])
    verify.falsify(model, (low, high), evaluations=5000)
    with pytest.raises(ModelError, match="a bound of the region has the columns"):
        verify.falsify(model, (low[X[::-1]], high[X[::-1]]), evaluations=5000)
    draw = torch.Generator().manual_seed(0)
    lifted = SOCICNN(2, (3,), positivity="lift", generator=draw)
    fit(lifted, frames()[::2], epochs=1, progress=False)
    assert names_of(lifted.finalise(x)) == (("P", "Q"), None)
    with pytest.raises(ModelError, match="x of the training data has the columns"):
        lifted.finalise(x[X[::-1]])


def test_a_lift_around_a_module_hands_its_names_on() -> None:
    x, _, y = frames()
    module = torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.Softplus(), torch.nn.Linear(4, 1), torch.nn.Flatten(0))
    module[2].weight._pos_required = True
    model = HyperNetwork(2, [4], module)
    fit(model, (x, y), epochs=1, progress=False)
    plain = model.finalise(x)
    assert names_of(plain) == (("P", "Q"), None)
    with pytest.raises(ModelError, match="train_data has the columns"):
        model.finalise(x[X[::-1]])


def test_a_table_of_contexts_names_the_data_of_a_simulator() -> None:
    theta = frames()[1]
    data = decision.problem(lambda x, theta: (x**2).sum(axis=1), BOX, sample_contexts=theta).sample(5, 3, seed=0)
    assert (data.x_names, data.context_names) == (None, ("wind", "price"))


def test_modules_of_ones_own_have_names_too() -> None:
    class Square(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.level = torch.nn.Parameter(torch.zeros(2, dtype=torch.float64))

        def forward(self, x: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
            return (x - context * self.level).square().sum(dim=-1)

    x, theta, y = frames()
    model = Square()
    fit(model, (x, theta, y), loss="mse", epochs=1, progress=False)
    for ask in (CONTEXTS["decide"], CONTEXTS["DecisionLayer"], ROWS["falsify"]):
        with pytest.raises(ModelError, match=SAID):
            ask(model, theta.iloc[0][THETA[::-1]])


@pytest.mark.parametrize("standardise", [True, False])
def test_training_that_goes_on_refuses_other_columns(standardise: bool) -> None:
    x, theta, y = frames()
    model = trained()
    options = FitOptions(standardise=standardise)
    settings: Any = {"loss": "mse", "epochs": 1, "progress": False, "options": options}
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(ModelError, match=SAID):
        fit(model, (x, theta[THETA[::-1]], y), **settings)
    with pytest.raises(ModelError, match=SAID_OF_X):
        fit(model, (x[X[::-1]], theta, y), **settings)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    fit(model, (x, theta, y), **settings)
    fit(model, (x.to_numpy(), theta.to_numpy(), y), **settings)  # by position: the columns are what they were
    assert names_of(model) == (("P", "Q"), ("wind", "price"))


def test_training_on_frames_names_what_arrays_left_open() -> None:
    x, theta, y = frames()
    model = network()
    settings: Any = {"loss": "mse", "epochs": 1, "progress": False, "options": FitOptions(standardise=False)}
    fit(model, (x.to_numpy(), theta.to_numpy(), y), **settings)
    assert names_of(model) == (None, None)
    fit(model, (x, theta, y), **settings)
    assert names_of(model) == (("P", "Q"), ("wind", "price"))


def test_validation_data_and_checkpoints_of_other_columns_are_refused(tmp_path: Path) -> None:
    x, theta, y = frames()
    settings: Any = {"loss": "mse", "progress": False}
    with pytest.raises(ModelError, match="the validation data cannot be used: " + SAID):
        fit(network(), (x, theta, y), validation=Data(x, theta[THETA[::-1]], y), epochs=1, **settings)
    with pytest.raises(ModelError, match=r"the validation data cannot be used: x has the columns \['P', 'R'\]"):
        fit(network(), (x, theta, y), validation=(x.set_axis(["P", "R"], axis=1), theta, y), epochs=1, **settings)
    with pytest.raises(ModelError, match="the validation data cannot be used: " + SAID):
        fit(trained(), (x.to_numpy(), theta.to_numpy(), y), validation=(x, theta[THETA[::-1]], y), epochs=1, **settings)
    options = FitOptions(checkpoint=tmp_path / "run")
    fit(network(), (x, theta, y), epochs=2, options=options, **settings)
    with pytest.raises(ModelError, match="belongs to another run: different training data"):
        fit(network(), (x, theta[THETA[::-1]], y), epochs=2, options=options, **settings)


def test_copies_and_files_keep_the_names(tmp_path: Path) -> None:
    model, path = trained(), tmp_path / "model.safetensors"
    socicnn.save(model, path)
    kept = [socicnn.load(path), copy.deepcopy(model), pickle.loads(pickle.dumps(model)), model.finalise()]
    for other in [*kept, Ensemble([model, trained()])]:
        assert names_of(other) == (("P", "Q"), ("wind", "price"))
    with pytest.raises(ModelError, match=SAID):
        decision.decide(socicnn.load(path), BOX, frames()[1][THETA[::-1]])


def test_files_of_arrays_are_what_they_were(tmp_path: Path) -> None:
    x, theta, y = frames()
    model, path = network(), tmp_path / "model.safetensors"
    fit(model, (x.to_numpy(), theta.to_numpy(), y.to_numpy()), loss="mse", epochs=1, progress=False)
    socicnn.save(model, path)
    with safetensors.safe_open(path, framework="pt") as file:
        text = file.metadata()["ranges"]
    assert text.startswith('{"x_lower": [')
    assert "names" not in text
    loaded = socicnn.load(path)
    assert names_of(loaded) == (None, None)
    decision.decide(loaded, BOX, theta[THETA[::-1]])  # nothing is known of its columns


def test_ranges_hold_names_of_their_columns() -> None:
    ranges = Ranges([0.0, 1.0], [2.0, 3.0], [-1.0], [1.0], ("P", "Q"), ("wind",))
    again = Ranges.from_json(ranges.to_json())
    assert (again.x_names, again.context_names) == (("P", "Q"), ("wind",))
    assert pickle.loads(pickle.dumps(ranges)).x_names == ("P", "Q")
    bare = Ranges([0.0, 1.0], [2.0, 3.0], [-1.0], [1.0])
    for whole in (ranges.widened(ranges), ranges.widened(bare), bare.widened(ranges)):
        assert (whole.x_names, whole.context_names) == (("P", "Q"), ("wind",))
    with pytest.raises(ModelError, match=r"x has the columns \['Q', 'P'\], but the network is trained with"):
        ranges.widened(Ranges([0.0, 1.0], [2.0, 3.0], [-1.0], [1.0], ("Q", "P")))
    for names in ('["P"]', '"PQ"', "[1, 2]", "{}"):
        with pytest.raises(ModelError, match="the ranges cannot be read"):
            Ranges.from_json(f'{{"x_lower": [0, 1], "x_upper": [2, 3], "x_names": {names}}}')


def test_densities_know_their_columns(tmp_path: Path) -> None:
    x, path = frames()[0], tmp_path / "flow.safetensors"
    flow, arrays = (PotentialFlow.dense(2, (3,), generator=torch.Generator().manual_seed(0)) for _ in range(2))
    fit_density(arrays, x.to_numpy(), steps=2)
    assert arrays.ranges is None
    fit_density(flow, x, steps=2)
    with pytest.raises(ModelError, match=SAID_OF_X):
        fit_density(flow, x[X[::-1]], steps=2)
    socicnn.save(flow.finalise(), path)
    loaded = socicnn.load(path, PotentialFlow)
    negative_log_likelihood(loaded, None, x)
    with pytest.raises(ModelError, match=SAID_OF_X):
        negative_log_likelihood(loaded, None, x[X[::-1]])


def test_polars_and_arrow_have_columns_too() -> None:
    polars, arrow = pytest.importorskip("polars"), pytest.importorskip("pyarrow")
    for make in (polars.DataFrame, arrow.table):
        table = make({"wind": [1.0], "price": [2.0]})
        assert column_names(table) == ("wind", "price")
        with pytest.raises(ModelError, match=SAID):
            trained().freeze(make({"price": [2.0], "wind": [1.0]}))


def test_what_has_no_names_has_none() -> None:
    mixed = pd.DataFrame([[0.0, 1.0]], columns=["a", 1])
    levels = pd.DataFrame([[0.0, 1.0]], columns=pd.MultiIndex.from_tuples([("a", "b"), ("a", "c")]))
    for other in (mixed, levels, pd.DataFrame([[0.0, 1.0]]), np.zeros((1, 2)), torch.zeros(1, 2), [[0, 1]], None, "ab"):
        assert column_names(other) is None
        refuse_other_columns(Ranges([0.0, 0.0], [1.0, 1.0], x_names=("a", "b")), "x", other)
    days = pd.Series([0.0, 1.0, 2.0], index=["mon", "tue", "wed"])  # one column of three rows
    refuse_other_columns(Ranges([0.0], [1.0], x_names=("a",)), "x", days)


def test_of_many_columns_the_message_shows_those_where_they_part() -> None:
    known = tuple(f"c{i}" for i in range(30))
    ranges = Ranges(np.zeros(30), np.ones(30), x_names=known)
    frame = pd.DataFrame(np.zeros((1, 30)), columns=[*known[:20], *known[:19:-1]])
    message = (
        r"x has from place 20 on the columns \['c29', .*, 'c22', \.\.\.\], but .* \['c20', .*\.\.\.\] in this order; "
    )
    with pytest.raises(ModelError, match=message + "give them in that order, or"):
        refuse_other_columns(ranges, "x", frame)


def test_a_part_of_the_only_column_is_no_row_with_other_columns() -> None:
    ranges = Ranges(np.zeros(1), np.ones(1), x_names=("P",))
    refuse_other_columns(ranges, "x", pd.Series([0.5], index=["mon"], name="P"))
    with pytest.raises(ModelError, match=r"x has the columns \['Q'\]"):
        refuse_other_columns(ranges, "x", pd.DataFrame({"Q": [0.5]}))
