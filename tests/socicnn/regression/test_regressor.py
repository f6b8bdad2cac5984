"""ConvexRegressor: what it promises by construction, and that scikit-learn's tools take it."""

import pickle
import subprocess
import sys
from typing import Literal

import cvxpy as cp
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from socicnn import ConvexRegressor
from socicnn.errors import ModelError
from socicnn.positivity import ADMM
from socicnn.regression import MaxAffine, Trainer
from socicnn.training import FitOptions, HuberLoss, Quantile

QUICK = Trainer(epochs=2, polish=60, ridge=(1e-3, 1e-5), restarts=1)
SHORT = Trainer(epochs=1, polish=30, ridge=(1e-3,), restarts=1)  # for the many fits of scikit-learn's checks
KINDS = ("stacked", "relu", "softplus", "quad", "norm", "soc")


def table(rows: int = 150, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """Power, quality and a context "V (mean)"; current rises with power and is free in the context."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.uniform(-1, 1, (rows, 3)), columns=["P", "Q, reactive", "V (mean)"])
    y = 1.5 * np.exp(X["P"]) + X["Q, reactive"] ** 2 + np.sin(3 * X["V (mean)"])
    return X, y.to_numpy()


def regressor(kind: str = "soc", **settings) -> ConvexRegressor:
    return ConvexRegressor(kind, **{"hidden": (6,), "trainer": QUICK, "random_state": 0, **settings})


def steps(model: ConvexRegressor, X: pd.DataFrame, column: str, size: float = 0.3) -> np.ndarray:
    """How f changes where one column grows."""
    return model.predict(X.assign(**{column: X[column] + size})) - model.predict(X)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_learns_and_is_convex_where_it_says(kind: str) -> None:
    X, y = table()
    model = regressor(kind, context="V (mean)").fit(X, y)
    assert model.score(X, y) > 0.9
    other = X.assign(P=X["P"].to_numpy()[::-1], **{"Q, reactive": X["Q, reactive"].to_numpy()[::-1]})
    middle = (X + other) / 2
    ends = (model.predict(X) + model.predict(other)) / 2
    np.testing.assert_array_less(model.predict(middle), ends + 1e-9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("curvature", ["convex", "concave"])
def test_monotone_columns_hold_by_construction_and_are_used(kind: str, curvature: str) -> None:
    X, _ = table()
    way = 1 if curvature == "convex" else -1
    up, down = ("P", "Q, reactive") if way > 0 else ("Q, reactive", "P")
    target = way * (3 * np.maximum(X["P"], 0) + np.maximum(-X["Q, reactive"], 0.2)) + 0.1 * X["V (mean)"]
    model = regressor(kind, increasing=[up], decreasing=[down], curvature=curvature).fit(X, target)
    far = pd.concat([X, 10 * X])
    assert (steps(model, far, up) >= -1e-9).all()
    assert (steps(model, far, down) <= 1e-9).all()
    assert model.score(X, target) > 0.9  # 0.1 or less without either column
    assert np.abs(model.gradient(X)[:, :2]).max(axis=0).min() > 0.3


@pytest.mark.parametrize("recipe", [ADMM(rho=0.01), "softplus"])
def test_it_ends_convex_whatever_the_recipe(recipe: ADMM | Literal["softplus"]) -> None:
    """Weights of ADMM are negative on the way; predictions were not convex, and only the program said so."""
    rng = np.random.default_rng(0)
    X, (a, b) = rng.uniform(-1, 1, (60, 2)), rng.uniform(-2, 2, (2, 2000, 2))
    trainer = Trainer(recipe=recipe, epochs=10, learning_rate=0.05, polish=0, restarts=1)
    model = regressor(hidden=(4, 4), trainer=trainer).fit(X, -(X**2).sum(axis=1))
    assert (model.predict((a + b) / 2) <= (model.predict(a) + model.predict(b)) / 2 + 1e-12).all()
    assert min(float(weight().detach().min()) for _, weight in model.network_.constrained()) >= 0
    assert model.certify(X[:3]).ok


def test_a_false_direction_is_not_followed() -> None:
    X, y = table()
    model = regressor(decreasing="P", context="V (mean)").fit(X, y)
    assert (steps(model, X, "P") <= 1e-9).all()


@pytest.mark.parametrize("kind", ["relu", "soc", "softplus"])
def test_a_non_negative_function_is_so_everywhere(kind: str) -> None:
    X, y = table()
    model = regressor(kind, nonnegative=True).fit(X[["P", "Q, reactive"]], np.maximum(y - y.mean(), 0))
    far = pd.DataFrame(np.random.default_rng(0).normal(0, 100, (500, 2)), columns=["P", "Q, reactive"])
    assert (model.predict(far) >= 0).all()
    assert model.score(X[["P", "Q, reactive"]], np.maximum(y - y.mean(), 0)) > 0.5
    with pytest.raises(ModelError, match="constant"):
        regressor(nonnegative=True, curvature="concave").fit(X, y)


@pytest.mark.parametrize("curvature", ["convex", "concave"])
def test_the_program_is_the_prediction_in_the_users_units(curvature: str) -> None:
    X, y = table()
    X = X.assign(P=1e4 + 500 * X["P"])  # far from zero
    model = regressor(context=["V (mean)"], curvature=curvature).fit(X, 230 + 40 * y)
    row = X.iloc[3]
    z = cp.Variable(2)
    f = model.to_cvxpy(z, row)  # a Series: names are looked up
    assert f.is_convex() if curvature == "convex" else f.is_concave()
    z.value = row[["P", "Q, reactive"]].to_numpy()
    sign = 1 if curvature == "convex" else -1
    expected = model.predict(X.iloc[[3]])[0]
    assert float(f.value) == pytest.approx(expected, rel=1e-12)
    solution = model.value_program(row[["V (mean)"]].to_numpy()).at(z.value).solve()
    assert sign * solution.value == pytest.approx(expected, rel=1e-6)
    assert model.certify(X.iloc[:5]).ok
    goal = cp.Minimize(f) if sign > 0 else cp.Maximize(f)
    cp.Problem(goal, [z >= [9500, -1], z <= [10500, 1]]).solve(solver=cp.CLARABEL)
    inside = X.assign(**{"V (mean)": row["V (mean)"]})
    assert (sign * model.predict(inside) >= sign * goal.value - 1e-3).all()


def test_softplus_has_a_program_of_exponential_cones() -> None:
    X, y = table()
    model = regressor("softplus").fit(X, y)
    assert model.certify(X.iloc[:5]).ok
    program = model.value_program()
    assert program.cones.exponential
    point = np.asarray(X, dtype=float)[0]
    assert program.at(point).solve().value == pytest.approx(float(model.predict(X.iloc[:1])[0]), rel=1e-5)
    assert model.to_cvxpy(cp.Variable(3)).is_convex()


def test_the_gradient_is_that_of_the_prediction() -> None:
    X, y = table()
    model = regressor("softplus", context="V (mean)", curvature="concave").fit(X, -y)
    step = 1e-5
    for place, column in enumerate(["P", "Q, reactive"]):
        slope = (steps(model, X, column, step) - steps(model, X, column, -step)) / (2 * step)
        np.testing.assert_allclose(model.gradient(X)[:, place], slope, rtol=1e-5, atol=1e-6)


def test_gradients_as_labels_help() -> None:
    rng = np.random.default_rng(1)
    X, far = rng.normal(size=(12, 3)), rng.normal(size=(300, 3))
    truth, slope = lambda x: (x**2).sum(axis=1) + x[:, 0], lambda x: 2 * x + [1.0, 0, 0]
    plain = regressor("quad", hidden=()).fit(X, truth(X) + rng.normal(0, 0.5, 12))
    taught = regressor("quad", hidden=()).fit(X, truth(X), gradient=slope(X))
    assert taught.score(far, truth(far)) > max(0.99, plain.score(far, truth(far)))
    np.testing.assert_allclose(taught.gradient(far), slope(far), atol=0.2)
    concave = regressor("quad", hidden=(), curvature="concave").fit(X, -truth(X), gradient=-slope(X))
    np.testing.assert_allclose(concave.gradient(far), -slope(far), atol=0.2)
    with pytest.raises(ModelError, match=r"shape \(12, 3\)"):
        regressor().fit(X, truth(X), gradient=slope(X)[:, :2])


@pytest.mark.parametrize("curvature", ["convex", "concave"])
@pytest.mark.parametrize("level", [0.1, 0.9])
def test_a_quantile_lies_where_it_should(level: float, curvature: str) -> None:
    rng = np.random.default_rng(2)
    X = rng.uniform(-1, 1, (600, 1))
    noise = rng.exponential(size=600)  # skewed, so that a mirrored level shows
    bend = X[:, 0] ** 2 if curvature == "convex" else -(X[:, 0] ** 2)
    trainer = Trainer(epochs=10, polish=100, restarts=1)
    model = regressor("quad", hidden=(), loss=Quantile(level), curvature=curvature, trainer=trainer)
    model.fit(X, bend + noise)
    assert np.mean(bend + noise <= model.predict(X)) == pytest.approx(level, abs=0.05)


@pytest.mark.parametrize("curvature", ["convex", "concave"])
def test_huber_is_not_pulled_by_outliers(curvature: str) -> None:
    """Three percent of the values are far off, all to one side: squares follow them, Huber's loss does not."""
    rng = np.random.default_rng(7)
    X = rng.uniform(-1, 1, (400, 1))
    truth = X[:, 0] ** 2 if curvature == "convex" else -(X[:, 0] ** 2)
    y = truth + rng.normal(0, 0.02, 400)
    y[:12] += 20.0

    def error(loss) -> float:
        model = regressor("quad", hidden=(), loss=loss, curvature=curvature).fit(X, y)
        return float(np.abs(model.predict(X) - truth).max())

    assert error(HuberLoss(0.02)) < 0.05
    assert error("mse") > 0.3


def test_several_outputs_are_several_networks() -> None:
    X, y = table()
    model = regressor(context="V (mean)").fit(X, np.column_stack([y, 2 - y * 0 + X["P"]]))
    assert len(model.network_) == len(model.history_) == 2
    assert model.predict(X).shape == (150, 2)
    assert model.gradient(X).shape == (150, 2, 2)
    z = cp.Variable(2, value=[0.1, 0.2])
    values = [float(f.value) for f in model.to_cvxpy(z, [0.3])]
    row = pd.DataFrame([[0.1, 0.2, 0.3]], columns=X.columns)
    np.testing.assert_allclose(values, model.predict(row)[0], rtol=1e-10)
    assert [certificate.ok for certificate in model.certify(X.iloc[:3])] == [True, True]
    with pytest.raises(ModelError, match="one estimator per output"):
        model.conformal(X, np.column_stack([y, y]))
    alone = regressor(context="V (mean)").fit(X, y)
    np.testing.assert_array_equal(model.predict(X)[:, 0], alone.predict(X))


def test_verbose_says_what_happens(capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    X, y = table(60)
    with caplog.at_level("INFO", logger="socicnn"):
        regressor(trainer=Trainer(epochs=1, polish=20, restarts=2)).fit(X, y)
        assert capsys.readouterr() == ("", "")
        lines = [record.getMessage() for record in caplog.records]
        assert [line[:15] for line in lines if line.startswith("start")] == ["start 1 of 2: 1", "start 2 of 2: 1"]
    regressor(trainer=Trainer(epochs=1, polish=20, restarts=2, verbose=True)).fit(X, y)
    assert [line[:12] for line in capsys.readouterr().out.splitlines()] == ["start 1 of 2", "start 2 of 2"]


def test_penalties_are_a_sequence() -> None:
    assert Trainer(ridge=np.array([0.1, 0.01])).ridge == FitOptions(ridge=[0.1, 0.01]).ridge == (0.1, 0.01)
    for make in (Trainer, FitOptions):
        for ridge in (0.1, "0.1", [None]):
            with pytest.raises(ModelError, match=r"ridge must be a sequence .*e\.g\. ridge=\(0.1,\); received"):
                make(ridge=ridge)
        with pytest.raises(ModelError, match=r"ridge must hold finite numbers >= 0; received -1\.0"):
            make(ridge=[-1.0])


def test_pipelines_searches_and_pickles_take_it() -> None:
    X, y = table(60)
    scaled = make_pipeline(StandardScaler(), regressor(increasing="P", context="V (mean)")).set_output(
        transform="pandas"
    )
    scaled.fit(X, y)
    assert list(scaled[-1].feature_names_in_) == list(X.columns)
    search = GridSearchCV(regressor(increasing="P"), {"kind": ["relu", "quad"]}, cv=2).fit(X, y)
    again = pickle.loads(pickle.dumps(search.best_estimator_))
    np.testing.assert_array_equal(again.predict(X), search.predict(X))
    twin = clone(again).fit(X, y)
    np.testing.assert_array_equal(twin.predict(X), again.predict(X))  # the same seed, the same fit


def test_a_fit_ends_on_all_rows() -> None:
    """The constant is not penalised, so residuals sum to zero over the rows of the last finish: all of them."""
    X, y = table(200)
    y = y + np.random.default_rng(4).normal(0, 1, 200)
    model = regressor(trainer=Trainer(epochs=2, polish=200, ridge=(0.1, 0.03), restarts=1, validation=0.5)).fit(X, y)
    residual = y - model.predict(X)
    assert abs(residual.mean()) < 0.01 * residual.std()
    assert model.history_.ridge in (0.1, 0.03)


def test_a_handful_of_rows_is_not_overfitted() -> None:
    rng = np.random.default_rng(5)
    X, far = rng.normal(size=(15, 4)), rng.normal(size=(300, 4))
    y = X[:, 0] + rng.normal(0, 1, 15)
    model = ConvexRegressor(random_state=0).fit(X, y)
    assert model.history_.ridge == 0.3
    assert np.mean((model.predict(far) - far[:, 0]) ** 2) < 1


def test_a_maximum_of_increasing_columns_is_learned() -> None:
    """Units with weights >= 0 alone cannot: all their mixed second derivatives are >= 0."""
    rng = np.random.default_rng(6)
    X = pd.DataFrame(rng.normal(size=(200, 2)), columns=["a", "b"])
    y = X.max(axis=1)
    model = ConvexRegressor("relu", hidden=(6,), increasing=["a", "b"], trainer=QUICK, random_state=0).fit(X, y)
    assert model.score(X, y) > 0.995
    z = cp.Variable(2)
    cost = model.to_cvxpy(cp.square(z))  # known to be increasing, so that x may be convex
    assert cost.is_convex()


def test_weights_are_routed() -> None:
    import sklearn

    X, y = table(60)
    with sklearn.config_context(enable_metadata_routing=True):
        model = regressor().set_fit_request(sample_weight=True).set_score_request(sample_weight=False)
        search = GridSearchCV(model, {"kind": ["relu"]}, cv=2, refit=False).fit(X, y, sample_weight=np.ones(60))
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_places_and_names_mean_the_same() -> None:
    X, y = table(60)
    named = regressor(context=["V (mean)"], increasing="P").fit(X, y)
    placed = regressor(context=[-1], increasing=0).fit(X.to_numpy(), y)
    np.testing.assert_array_equal(named.predict(X), placed.predict(X.to_numpy()))
    context = {"V (mean)": 0.2}
    z = cp.Variable(2, value=[0.0, 0.0])
    assert float(named.to_cvxpy(z, context).value) == float(placed.to_cvxpy(z, [0.2]).value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"context": ["V"]}, r"context names 'V'.*columns P, Q, reactive"),
        ({"increasing": ["P"], "decreasing": ["P"]}, "'P' is both increasing and decreasing"),
        ({"context": ["P"], "increasing": ["P"]}, "'P' is both context and increasing"),
        ({"context": [0, 1, 2]}, "every column is context"),
        ({"increasing": [3]}, "increasing names 3"),
        ({"context": 1.0}, "context names 1.0"),
        ({"increasing": ["P", 0]}, "twice"),
        ({"kind": "cubic"}, "unknown kind 'cubic'"),
        ({"curvature": "flat"}, "unknown curvature"),
        ({"trainer": "fast"}, "must be a Trainer"),
        ({"loss": "hinge"}, "unknown loss"),
    ],
)
def test_arguments_that_do_not_fit_are_named(settings: dict, message: str) -> None:
    X, y = table(30)
    with pytest.raises(ModelError, match=message):
        regressor(**settings).fit(X, y)
    with pytest.raises(ModelError, match="lacks V"):
        regressor(context="V (mean)").fit(X, y).to_cvxpy(cp.Variable(2), {"volts": 1.0})


@pytest.mark.parametrize("estimator", [regressor(context="P"), MaxAffine(2)], ids=["ConvexRegressor", "MaxAffine"])
def test_names_that_stand_twice_are_refused(estimator: ConvexRegressor | MaxAffine) -> None:
    X, y = table(30)
    with pytest.raises(ModelError, match="several columns called 'P'; rename"):
        estimator.fit(X.set_axis(["P", "Q", "P"], axis=1), y)


def test_weights_are_repetitions_and_no_more() -> None:
    X, y = table(40)
    X, counts = X.to_numpy(), np.random.default_rng(0).integers(0, 3, 40)
    weighted = regressor().fit(X, y, sample_weight=counts)
    repeated = regressor().fit(np.repeat(X, counts, axis=0), np.repeat(y, counts))
    np.testing.assert_array_equal(weighted.predict(X), repeated.predict(X))


@pytest.mark.parametrize(
    "estimator",
    [
        pytest.param(ConvexRegressor(trainer=SHORT), id="ConvexRegressor"),
        pytest.param(MaxAffine(), id="MaxAffine"),
        pytest.param(ConvexRegressor(), id="soc", marks=pytest.mark.slow),
        *(pytest.param(ConvexRegressor(kind), id=kind, marks=pytest.mark.slow) for kind in KINDS if kind != "soc"),
        pytest.param(ConvexRegressor(curvature="concave"), id="concave", marks=pytest.mark.slow),
        pytest.param(ConvexRegressor(loss="huber"), id="huber", marks=pytest.mark.slow),
    ],
)
def test_the_checks_of_scikit_learn_pass(estimator) -> None:
    results = check_estimator(estimator, on_skip=None)
    assert len(results) > 50
    assert {result["check_name"] for result in results if result["status"] != "passed"} <= {"check_array_api_input"}


def test_importing_the_package_imports_no_estimator() -> None:
    code = "import sys, socicnn; socicnn.ConvexRegressor.__name__ if sys.argv[1:] else 0; "
    code += "sys.exit('sklearn' in sys.modules or 'pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert subprocess.run([sys.executable, "-c", code, "use"], check=False).returncode == 1
