"""The ranges of the training data: set by every way of fitting, kept by copies and files, exact."""

import copy
import pickle
from pathlib import Path

import numpy as np
import pytest
import safetensors
import safetensors.torch
import torch

import decision
import socicnn
from decision import surrogates, tasks
from decision.learning import Ensemble, FocusedOptions, fit_active, fit_focused
from socicnn import SOCICNN
from socicnn._files import FileError
from socicnn._ranges import Ranges
from socicnn.errors import ModelError
from socicnn.training import FitOptions, fit, fit_stacked


def drawn(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    x = torch.rand(40, 5, 3, generator=draw, dtype=torch.float64)
    theta = torch.randn(40, 2, generator=draw, dtype=torch.float64)
    return x, theta, (x - theta[:, None, :1]).square().sum(dim=2)


def network(seed: int = 0, dtype: torch.dtype = torch.float64) -> SOCICNN:
    return SOCICNN(3, (4,), context_features=2, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def same(a: Ranges | None, b: Ranges | None) -> bool:
    assert a is not None
    assert b is not None
    return a.to_json() == b.to_json()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_fit_stores_the_ranges_of_the_data_in_float64(dtype: torch.dtype) -> None:
    x, theta, y = drawn()
    model = network(dtype=dtype)
    assert model.ranges is None
    fit(model, (x, theta, y), epochs=1, progress=False)
    assert model.ranges is not None
    assert np.array_equal(model.ranges.x_lower, x.numpy().min(axis=(0, 1)))
    assert np.array_equal(model.ranges.x_upper, x.numpy().max(axis=(0, 1)))
    assert model.ranges.context_lower is not None
    assert np.array_equal(model.ranges.context_lower, theta.numpy().min(axis=0))
    assert "ranges=Ranges(x: 3 entries in [" in repr(model)


def test_every_way_of_fitting_stores_them() -> None:
    data, models = drawn(), [network(seed) for seed in range(2)]
    fit_stacked(models, data, epochs=1, progress=False)
    decided = network()
    decision.fit(decided, data, epochs=1, progress=False)
    wanted = Ranges.of(data[0], data[1])
    assert all(same(model.ranges, wanted) for model in [*models, decided])


def test_training_that_goes_on_widens_them() -> None:
    x, theta, y = drawn()
    model = network()
    fit(model, (x, theta, y), epochs=1, progress=False)
    fit(model, (x + 1, theta, y), epochs=1, progress=False, options=FitOptions(standardise=False))
    assert model.ranges is not None
    assert np.array_equal(model.ranges.x_lower, x.numpy().min(axis=(0, 1)))
    assert np.array_equal(model.ranges.x_upper, x.numpy().max(axis=(0, 1)) + 1)
    fit(model, (x + 1, theta, y), epochs=1, progress=False)
    assert np.array_equal(model.ranges.x_lower, (x + 1).numpy().min(axis=(0, 1)))


def test_active_and_focused_training_hold_what_they_saw() -> None:
    task = tasks.make("box_socp", features=3, seed=0)
    data = task.sample(contexts=20, candidates=4, seed=1)
    model = surrogates.make("soc-partial", 3, generator=torch.Generator().manual_seed(0))
    found = fit_active(model, task, data, rounds=1, near=2, epochs=2, progress=False)
    assert same(model.ranges, Ranges.of(found.data.x, found.data.context))
    fit_focused(model, task, data, steps=2, contexts=8, progress=False, options=FocusedOptions(every=1))
    assert model.ranges is not None
    seen = Ranges.of(found.data.x, found.data.context)
    assert (model.ranges.x_lower <= seen.x_lower).all()
    assert (model.ranges.x_upper >= seen.x_upper).all()


def test_copies_finalised_networks_and_ensembles_keep_them() -> None:
    model = network()
    fit(model, drawn(), epochs=1, progress=False)
    for kept in (copy.deepcopy(model), model.finalise(), model.double(), pickle.loads(pickle.dumps(model))):
        assert same(kept.ranges, model.ranges)
        assert kept.ranges is not None
        with pytest.raises(ValueError, match="read-only"):
            kept.ranges.x_lower[0] = 9.0
    assert same(Ensemble([model, model]).ranges, model.ranges)
    assert Ensemble([model, network()]).ranges is None


def test_files_keep_them_to_the_last_bit_and_older_files_have_none(tmp_path: Path) -> None:
    path, model = tmp_path / "model.safetensors", network()
    fit(model, drawn(), epochs=1, progress=False)
    socicnn.save(model, path)
    assert same(socicnn.load(path).ranges, model.ranges)
    with safetensors.safe_open(path, framework="pt") as file:
        header = file.metadata()
    tensors = safetensors.torch.load_file(path)
    older = {key: value for key, value in header.items() if key != "ranges"}
    path.write_bytes(safetensors.torch.save(tensors, metadata=older))
    assert socicnn.load(path).ranges is None
    for damage in ("[]", "{", "null", '{"x_lower": [0.0], "x_upper": [1.0]}', '{"x_lower": [1, 1, 1]}'):
        path.write_bytes(safetensors.torch.save(tensors, metadata={**older, "ranges": damage}))
        with pytest.raises(FileError, match="damaged"):
            socicnn.load(path)


def test_json_is_exact() -> None:
    ranges = Ranges([0.1 + 2.0**-52, -1e300], [1 / 3, 5e-324], [2.0**-1074], [2.0**31 + 2.0**-20])
    again = Ranges.from_json(ranges.to_json())
    for name in ("x_lower", "x_upper", "context_lower", "context_upper"):
        assert np.array_equal(getattr(again, name), getattr(ranges, name))


def test_the_arrays_are_the_ranges_own() -> None:
    buffer = np.zeros(2)
    ranges = Ranges(buffer, buffer + 1)
    buffer += 5
    assert ranges.x_lower.tolist() == [0.0, 0.0]


def test_outside_is_relative_to_the_width_of_each_entry() -> None:
    for k in (-40, 0, 40):
        unit = 2.0**k
        ranges = Ranges([0.0, 1.0], [unit, 1.0], [-unit], [unit])
        x = np.array([[0.0, 1.0], [unit * 1.009, 1.0], [unit * 1.02, 1.0], [0.0, 1.0 + 1e-12], [np.nan, 1.0]])
        assert ranges.outside_x(x).tolist() == [False, False, True, True, True]
        assert ranges.outside_context([[0.0], [1.03 * unit]]).tolist() == [False, True]
    assert ranges.outside_x(np.zeros((4, 3, 2))).shape == (4, 3)


def test_images_keep_their_shape() -> None:
    ranges = Ranges.of(torch.rand(6, 2, 4, 4), x_axes=3)
    assert ranges.x_lower.shape == (2, 4, 4)
    assert ranges.outside_x(np.full((5, 2, 4, 4), 2.0)).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Ranges([0.0], [1.0], [0.0]), "belong together"),
        (lambda: Ranges([2.0], [1.0]), "lower <= upper"),
        (lambda: Ranges([np.nan], [1.0]), "finite"),
        (lambda: Ranges([0.0], [1.0, 2.0]), "equal shape"),
        (lambda: Ranges.of(np.zeros((0, 2))), "at least one row"),
        (lambda: Ranges([0.0], [1.0]).outside_x([1.0, 2.0]), "shape"),
        (lambda: Ranges([0.0], [1.0]).outside_context([1.0]), "no context"),
        (lambda: Ranges([0.0], [1.0]).widened(Ranges([0.0, 0.0], [1.0, 1.0])), "cannot be joined"),
    ],
)
def test_what_is_refused(make, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        make()
