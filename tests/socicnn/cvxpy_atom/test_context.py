"""A context that is a Parameter: the network at every theta, compiled once, cheap to set."""

import copy
import pickle
import time
import warnings
from typing import Any

import cvxpy as cp
import numpy as np
import pytest
import torch

import socicnn
from socicnn._compile import compile_net, pieces_of, with_pieces
from socicnn._cvxpy_atom import atom
from socicnn._cvxpy_atom.build import to_cvxpy
from socicnn._cvxpy_atom.context_program import ContextProgram
from socicnn.errors import ModelError, ProgramError

MODES = ("joint", "partial")


def make(mode: str, n: int = 4, dtype: torch.dtype = torch.float64, **arguments: Any) -> socicnn.SOCICNN:
    torch.manual_seed(0)
    options = socicnn.NetOptions(dtype=dtype, generator=torch.Generator().manual_seed(0))
    model = socicnn.SOCICNN(n, (8, 6), context_features=3, context=mode, options=options, **arguments)  # type: ignore[arg-type]
    model.standardise(
        x_mean=np.linspace(1, 2, n), x_scale=np.linspace(0.5, 3, n), context_mean=[1.0, -1, 0], y_mean=7.0, y_scale=3.0
    )
    return model


def contexts(count: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, 3))


def problem_of(model: Any, theta: Any, n: int = 4) -> tuple[cp.Problem, cp.Variable, Any]:
    z = cp.Variable(n)
    cost = to_cvxpy(model, z, theta)
    return cp.Problem(cp.Minimize(cost), [cp.sum(z) == 1, z >= 0]), z, cost


def networks() -> dict[str, Any]:
    options = socicnn.NetOptions(dtype=torch.float64)
    dense = {
        f"{mode}, {readout}, {dtype}": (
            socicnn.SOCICNN(
                3, (5, 4), context_features=2, context=mode, options=socicnn.NetOptions(dtype=dtype, readout=readout)
            )
        )
        for mode in MODES
        for readout in (None, "relu", "softplus")
        for dtype in (torch.float32, torch.float64)
    }
    return {
        **dense,
        "icnn": socicnn.ICNN(3, (5,), context_features=2, context="partial", options=options),
        "no layers": socicnn.SOCICNN(3, (), context_features=2, context="partial", options=options),
        "one number": socicnn.ICNN(3, (5,), context_features=1, context="joint", options=options),
        "image": socicnn.ConvSOCICNN((1, 4, 4), (3,), context_features=2, context="partial", options=options),
        "image, joint": socicnn.ConvSOCICNN((1, 4, 4), (3,), context_features=2, context="joint", options=options),
        "field": socicnn.ConvSOCICNN((1, 4, 4), (3,), context_channels=1, context="partial", options=options),
        "field, joint": socicnn.ConvSOCICNN((1, 4, 4), (3,), context_channels=1, context="joint", options=options),
        "sequence": socicnn.RecurrentSOCICNN((4, 2), 3, context_features=2, options=options),
        "knots": socicnn.ICKAN(3, (3, 2), segments=3, context_features=2, options=options),
        "knots, joint": socicnn.ICKAN(3, (3, 2), segments=3, context_features=2, context="joint", options=options),
    }


@pytest.mark.parametrize("name", sorted(networks()))
def test_the_map_gives_the_program_at_every_context(name: str) -> None:
    model = networks()[name]
    rng = np.random.default_rng(1)
    units = model.standardisation
    model.standardise(x_mean=rng.normal(size=units.x_mean.shape), x_scale=rng.uniform(0.5, 2, units.x_scale.shape))
    model.standardise(y_mean=3.0, y_scale=2.0)
    moving = ContextProgram.of(model)
    for theta in 2 * rng.normal(size=(3, *model.context_shape)):
        stacked = compile_net(model.freeze(np.stack([theta, theta])))  # no branch left out
        wanted, found = pieces_of(stacked.program[0]), moving.at(theta)
        rounding = 1e-13 if model.dtype == torch.float64 else 1e-6  # torch rounds a stack otherwise than one context
        for piece, value in found.items():
            scale = np.abs(wanted[piece]).max(initial=1.0)
            np.testing.assert_allclose(value, wanted[piece], rtol=0, atol=rounding * scale, err_msg=piece)
        fixed = pieces_of(moving.template.program[0])
        for piece in set(wanted) - set(found):
            np.testing.assert_array_equal(fixed[piece], wanted[piece])
        single = with_pieces(moving.template, {**fixed, **found})
        x = rng.normal(size=(5, model.freeze(theta).in_features))
        np.testing.assert_allclose(single.net(x), model.freeze(theta)(x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_context_is_solved(mode: str, dtype: torch.dtype) -> None:
    model = make(mode, dtype=dtype)
    theta = cp.Parameter(3, name="theta")
    problem, z, cost = problem_of(model, theta)
    assert problem.is_dpp()
    assert any(parameter is theta for parameter in problem.parameters())
    assert cost.value is None
    for value in contexts(4):
        theta.value = value
        net = model.freeze(value)
        least = problem_of(net, None)[0].solve(solver=cp.CLARABEL)
        assert problem.solve(solver=cp.CLARABEL) == pytest.approx(least, rel=1e-6)
        assert cost.value == pytest.approx(net(z.value)[0], rel=1e-13)
        slope = to_cvxpy(net, z).grad[z].toarray()
        np.testing.assert_allclose(cost.grad[z].toarray(), slope, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("mode", MODES)
def test_x_and_the_context_are_parameters_together(mode: str) -> None:
    model = make(mode)
    theta, p, z = cp.Parameter(3), cp.Parameter(2), cp.Variable(2)
    cost = to_cvxpy(model, cp.hstack([z, p]), theta)
    problem = cp.Problem(cp.Minimize(cost), [z >= -1, z <= 1])
    x, top = cp.Parameter(4), cp.Variable()
    alone = cp.Problem(cp.Minimize(top), [to_cvxpy(model, x, theta) <= top])
    assert problem.is_dpp()
    assert alone.is_dpp()
    for value in contexts(3):
        theta.value, p.value, x.value = value, value[:2], np.arange(4.0)
        fixed = to_cvxpy(model, cp.hstack([z, value[:2]]), value)
        least = cp.Problem(cp.Minimize(fixed), [z >= -1, z <= 1]).solve(solver=cp.CLARABEL)
        assert problem.solve(solver=cp.CLARABEL) == pytest.approx(least, rel=1e-6)
        forward = model.freeze(value)(x.value)[0]
        assert alone.solve(solver=cp.CLARABEL) == pytest.approx(forward, rel=1e-6)


@pytest.mark.parametrize("mode", MODES)
def test_the_cone_form_is_made_once_in_a_hundred_solves(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    original = atom.canonicalise
    monkeypatch.setattr(atom, "canonicalise", lambda *arguments: calls.append(1) or original(*arguments))
    theta = cp.Parameter(3)
    problem, _, _ = problem_of(make(mode), theta)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for value in contexts(100):
            theta.value = value
            problem.solve(solver=cp.CLARABEL)
    assert len(calls) == 1


def seconds(function: Any, count: int) -> float:
    """Return the least time of a call, which other processes disturb least."""
    times = []
    for index in range(count):
        start = time.perf_counter()
        function(index)
        times.append(time.perf_counter() - start)
    return min(times)


@pytest.mark.parametrize("mode", MODES)
def test_data_are_made_again_much_faster_than_anew(mode: str) -> None:
    model, theta, values = make(mode, n=50), cp.Parameter(3), contexts(40)
    problem, _, _ = problem_of(model, theta, n=50)

    def again(index: int) -> None:
        theta.value = values[index]
        problem.get_problem_data(cp.CLARABEL)

    def anew(index: int) -> None:
        problem_of(model, values[index], n=50)[0].get_problem_data(cp.CLARABEL)

    again(0)
    assert seconds(again, 40) <= seconds(anew, 8) / 8
    moving = [parameter for parameter in problem.parameters() if parameter is not theta]

    def given(index: int) -> None:
        theta.value = -values[index]
        assert all(parameter.value is not None for parameter in moving)

    assert seconds(given, 40) <= 1e-3


def test_a_batch_of_contexts_is_a_list() -> None:
    model, values, z = make("partial"), contexts(3), cp.Variable(4)
    costs = to_cvxpy(model, z, values)
    theta = cp.Parameter((3, 3), value=values)
    moving = to_cvxpy(model, z, theta)
    assert len(costs) == len(moving) == 3
    box = [z >= -1, z <= 1]
    one = cp.Problem(cp.Minimize(cp.maximum(*costs)), box).solve(solver=cp.CLARABEL)
    problem = cp.Problem(cp.Minimize(cp.maximum(*moving)), box)
    assert problem.is_dpp()
    assert problem.solve(solver=cp.CLARABEL) == pytest.approx(one, rel=1e-6)
    assert one == pytest.approx(max(model.freeze(value)(z.value)[0] for value in values), rel=1e-5)


def test_a_constant_context_is_a_value() -> None:
    model, value, z = make("partial"), contexts(1)[0], cp.Variable(4, value=np.ones(4))
    assert to_cvxpy(model, z, cp.Constant(value)).value == model.freeze(value)(np.ones(4))[0]


def test_two_networks_with_one_context_never_become_one() -> None:
    theta, z = cp.Parameter(3, value=np.ones(3)), cp.Variable(4)
    first, second = make("partial"), make("partial")
    with torch.no_grad():
        next(iter(second.vectors.parameters())).add_(0.1)  # the matrices of both are equal
    one, two = to_cvxpy(first, z, theta), to_cvxpy(second, z, theta)
    for ignore_dpp in (False, True):
        value = cp.Problem(cp.Minimize(one + 2 * two), [z >= -1, z <= 1]).solve(
            solver=cp.CLARABEL, ignore_dpp=ignore_dpp
        )
        nets = [model.freeze(np.ones(3)) for model in (first, second)]
        assert value == pytest.approx(nets[0](z.value)[0] + 2 * nets[1](z.value)[0], rel=1e-6)
    assert one.value != two.value


def test_later_training_does_not_change_the_expression() -> None:
    model = make("partial")
    theta = cp.Parameter(3, value=np.ones(3))
    z = cp.Variable(4, value=np.ones(4))
    cost = to_cvxpy(model, z, theta)
    before = float(cost.value)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.5)
    theta.value = np.zeros(3)
    theta.value = np.ones(3)
    assert float(cost.value) == before


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda problem: pickle.loads(pickle.dumps(problem))])
def test_a_problem_with_a_context_can_be_copied_and_pickled(mode: str, copied: Any) -> None:
    theta = cp.Parameter(3, name="theta")
    problem, _, _ = problem_of(make(mode), theta)
    other = copied(problem)
    (other_theta,) = (parameter for parameter in other.parameters() if parameter.name() == "theta")
    for value in contexts(2):
        theta.value = other_theta.value = value
        assert other.solve(solver=cp.CLARABEL) == pytest.approx(problem.solve(solver=cp.CLARABEL), rel=1e-7)


def test_a_program_may_add_vectors_up_but_not_multiply_them(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make("partial")
    original = model.assemble

    def added(vectors: dict[str, np.ndarray]) -> Any:
        return original({**vectors, "v": vectors["v"] + vectors["v"][..., ::-1]})

    def multiplied(vectors: dict[str, np.ndarray]) -> Any:
        return original({**vectors, "v": vectors["v"] * vectors["v"][..., ::-1]})

    monkeypatch.setattr(model, "assemble", added)
    moving = ContextProgram.of(model)
    theta = contexts(1)[0]
    found, wanted = moving.at(theta), pieces_of(compile_net(model.freeze(np.stack([theta, theta]))).program[0])
    for piece, value in found.items():
        np.testing.assert_allclose(value, wanted[piece], rtol=1e-12, atol=1e-12, err_msg=piece)
    monkeypatch.setattr(model, "assemble", multiplied)
    with pytest.raises(ModelError, match="products of what its context moves"):
        ContextProgram.of(model)


@pytest.mark.parametrize("context", ["joint", "partial"])
@pytest.mark.parametrize("monotone", [(1, -1), (1, 1), (-1, 0)])
def test_monotone_networks_have_no_affine_part(monotone: tuple[int, ...], context: Any) -> None:
    options = socicnn.NetOptions(monotone=monotone, dtype=torch.float64)
    model = socicnn.SOCICNN(2, (3,), (), (), context_features=2, context=context, options=options)
    z, theta = cp.Variable(2), cp.Parameter(2, value=[0.3, -0.4])
    z.value = np.array([0.2, 0.7])
    assert to_cvxpy(model, z, theta).value == pytest.approx(model.freeze(theta.value)(z.value)[0], abs=1e-12)
    assert len(socicnn.ContextParameters(model).parameters)


@pytest.mark.parametrize("activation", ["leaky_relu", "maxout"])
def test_products_of_what_the_context_leaves_alone_are_constants(activation: Any) -> None:
    options = socicnn.NetOptions(dtype=torch.float64)
    shape: dict[str, Any] = {"activation": activation, "context_features": 2, "options": options}
    model = socicnn.SOCICNN(2, (3, 2), (), (), context="joint", **shape)
    z, theta = cp.Variable(2), cp.Parameter(2)
    cost = to_cvxpy(model, z, theta)
    problem = cp.Problem(cp.Minimize(cost + cp.sum_squares(z)))
    for value in np.random.default_rng(0).normal(size=(3, 2)):
        theta.value = value
        reached = problem.solve(solver=cp.CLARABEL)
        assert cost.value == pytest.approx(model.freeze(value)(z.value)[0], abs=1e-9)
        anew = cp.Problem(cp.Minimize(to_cvxpy(model, z, value) + cp.sum_squares(z)))
        assert reached == pytest.approx(anew.solve(solver=cp.CLARABEL), abs=1e-6)
    with pytest.raises(ModelError, match="give it as an array"):
        to_cvxpy(socicnn.SOCICNN(2, (3, 2), (), (), context="partial", **shape), z, theta)


def test_what_a_context_cannot_be() -> None:
    z = cp.Variable(4)
    with pytest.raises(ModelError, match="ContextParameters; received Linear"):
        to_cvxpy(make("partial"), z, torch.nn.Linear(2, 2))
    with pytest.raises(ModelError, match=r"shape \(3,\); received \(2, 3\)"):
        socicnn.ContextParameters(make("partial")).assign(np.zeros((2, 3)))
    with pytest.raises(ProgramError, match="must not hold variables"):
        to_cvxpy(make("partial"), z, cp.Variable(3))
    with pytest.raises(ProgramError, match="must be real; received a complex expression"):
        to_cvxpy(make("partial"), z, cp.Parameter(3, complex=True))
    with pytest.raises(ModelError, match=r"context must have shape \(3,\) .* received \(2,\)"):
        to_cvxpy(make("partial"), z, cp.Parameter(2))
    with pytest.raises(ModelError, match="takes none"):
        to_cvxpy(socicnn.SOCICNN(4, (3,)), z, cp.Parameter(2))
    with pytest.raises(ModelError, match="received FrozenNet"):
        to_cvxpy(make("partial").freeze(np.zeros(3)), z, cp.Parameter(3))
    with pytest.raises(ModelError, match="context is missing"):
        to_cvxpy(make("partial"), z)
    theta = cp.Parameter(3, name="theta")
    with pytest.raises(cp.error.ParameterError, match="theta"):
        problem_of(make("partial"), theta)[0].solve(solver=cp.CLARABEL)
