"""Quadratics inside layers are verified like the rest: arrays, witness, brackets, derivatives, files, mutants."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import verify
from benchmarks.mutation.mutants import compiler_mutants, program_mutants, witness_mutants
from benchmarks.mutation.mutation import Table
from socicnn._compile import compile_net
from tests.support.exact import exact_value
from tests.support.squares import CASES, N, net
from verify._core.structure import differences, monotone
from verify._proof.balls import BallProver
from verify._proof.duals import Guess, GuessProver
from verify._proof.network import Prover
from verify.check import check


@pytest.mark.parametrize("name", CASES)
def test_equivalence_passes_with_every_proof(name: str) -> None:
    model, x = net(2, **CASES[name]), np.random.default_rng(0).normal(size=(12, N))
    for proof in (True, "balls"):
        verify.equivalence(model, x, proof=proof).raise_if_failed()


def test_arrays_of_another_weight_are_told_apart() -> None:
    model = net(0)
    program = compile_net(model).program
    assert not monotone(program)
    assert not differences(program, model)
    inside = model.layers[0].squares
    for changed in (
        replace(inside, rho=inside.rho + 1e-9),
        replace(inside, F=inside.F * (1 + 1e-9)),
        replace(inside, g=inside.g + 1e-9),
    ):
        other = replace(model, layers=[replace(model.layers[0], squares=changed), model.layers[1]])
        assert differences(program, other)
    assert differences(program, replace(model, layers=[replace(model.layers[0], squares=None), model.layers[1]]))


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_brackets_hold_the_exact_value(scale: float) -> None:
    rng = np.random.default_rng(3)
    for seed in range(10):
        model = net(seed, density=(1.0, 0.5)[seed % 2])
        x = scale * rng.normal(size=(6, N))
        guess = Guess([rng.normal(size=(6, 5)), rng.normal(size=(6, 3))])
        for bracket in (Prover(model)(x), GuessProver(model, guess)(x), BallProver(model)(x)):
            for i, point in enumerate(x):
                low, high = exact_value(model, point)
                assert bracket.lo[i] <= low
                assert high <= bracket.hi[i]
        closed = Prover(model)(x)
        assert (closed.hi - closed.lo <= 1e-11 * (1 + closed.scale)).all()


def test_a_cut_is_a_minorant_and_touches() -> None:
    model, rng = net(4), np.random.default_rng(5)
    x = rng.normal(size=(8, N))
    slope, offset = verify.certify(model, x).cut()
    np.testing.assert_allclose((slope * x).sum(axis=1) + offset, model(x), rtol=1e-12)
    others = 3 * rng.normal(size=(200, N))
    assert ((slope @ others.T + offset[:, None]) - model(others)).max() <= 1e-9


def test_derivatives_agree_with_differences() -> None:
    model, rng = net(6), np.random.default_rng(7)
    x, d = rng.normal(size=(5, N)), rng.normal(size=(5, N))
    certificate = verify.certify(model, x)
    h = 1e-6
    slopes = (model(x + h * d) - model(x - h * d)) / (2 * h)
    np.testing.assert_allclose(certificate.directional_derivative(d), slopes, rtol=1e-6)
    gradients = (certificate.gradient() * d).sum(axis=1)
    np.testing.assert_allclose(gradients, slopes, rtol=1e-6)
    h = 1e-4
    seconds = (model(x + h * d) - 2 * model(x) + model(x - h * d)) / h**2
    product = (certificate.hessian_product(d) * d).sum(axis=1)
    np.testing.assert_allclose(product, seconds, rtol=1e-4)


@pytest.mark.parametrize("contexts", [None, 6])
def test_a_saved_claim_is_checked_by_strangers(tmp_path: Path, contexts: int | None) -> None:
    model = net(8, contexts=contexts, density=0.6)
    path = tmp_path / "claim.npz"
    verify.certify(model, np.random.default_rng(9).normal(size=(6, N))).save(path)
    assert check(path).ok


def test_no_mutant_is_accepted_where_it_matters() -> None:
    model, rng = net(10), np.random.default_rng(11)
    x = rng.normal(size=(40, N))
    table, compiled = Table(), compile_net(model)
    for mutants in (program_mutants(compiled, rng), compiler_mutants(model), witness_mutants(compiled, x, rng)):
        table.add(model, x, mutants)
    assert table.honest_rejected == 0
    assert table.accepted == []
    for array in ("rho", "F", "g"):
        row = next(row for key, row in table.rows.items() if key[0] == "compiler" and key[2] == array)
        assert row.rejected + row.by_bracket == row.matter > 0
