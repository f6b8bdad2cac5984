import pytest
import torch

from decision import surrogates, tasks
from decision.sets import Simplex
from socicnn.errors import ModelError
from tests.support.cases import generator

COUNTS = {
    "relu-joint": (26371, 29261, 117275),
    "softplus-joint": (26371, 29261, 117275),
    "quad-joint": (21586, 24546, 99010),
    "norm-joint": (21777, 25127, 101961),
    "soc-joint": (21968, 25708, 104912),
}


@pytest.mark.parametrize("name", COUNTS)
def test_joint_sizes_are_those_of_the_benchmark(name: str) -> None:
    found = [sum(p.numel() for p in surrogates.make(name, n).parameters()) for n in (10, 20, 50)]
    assert tuple(found) == COUNTS[name]


def test_names_cover_every_kind_and_context() -> None:
    assert set(surrogates.names()) == {
        *(f"{kind}-{context}" for kind in surrogates.KINDS for context in ("joint", "partial")),
        *(f"lift-{kind}-{context}" for kind in ("relu", "soc") for context in ("joint", "partial")),
    }


@pytest.mark.parametrize("name", surrogates.names())
def test_every_surrogate_is_convex_and_the_same_for_the_same_generator(name: str) -> None:
    small = {"hidden_features": (6, 6) if "joint" in name else (6,), "dtype": torch.float64}
    one, two = (surrogates.make(name, 4, 3, generator=generator(5), **small) for _ in range(2))
    x = Simplex(4).sample(60, generator(0)).reshape(2, 30, 4)
    theta = torch.randn(30, 3, generator=generator(1), dtype=torch.float64)
    if one.needs_data:
        one, two = one.finalise((x[0], theta)), two.finalise((x[0], theta))
    f = [one(z, theta) for z in (x[0], x[1], x.mean(dim=0))]
    assert torch.equal(f[0], two(x[0], theta))
    assert (f[2] <= (f[0] + f[1]) / 2 + 1e-12).all()
    assert not torch.allclose(one(x[0], theta), one(x[0], theta.flip(0)))  # the context matters


@pytest.mark.parametrize("name", ["soc-partial", "quad-partial", "norm-partial", "relu-partial"])
def test_partial_networks_export_their_diagonal_as_what_it_is(name: str) -> None:
    model = surrogates.make(name, 5, 3, generator=generator(0))
    net = model.freeze(torch.zeros(3))
    assert [q.A.nnz for q in net.quadratics] == ([5] if name.startswith(("soc", "quad")) else [])
    assert len(net.norms) == (3 if name.startswith(("soc", "norm")) else 0)


def test_options_replace_those_of_the_shape() -> None:
    model = surrogates.make("soc-partial", 6, 4, norm=(2, 2), hidden_features=(3,), context_hidden=0)
    assert (model.norm, model.hidden_features, model.context_hidden) == ((2, 2), (3,), 0)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("soc", {}, "unknown surrogate 'soc'.*there are: .*relu-joint"),
        ("relu-joint", {"norm": (2,)}, r"relu-joint cannot be made with \['norm'\]"),
    ],
)
def test_what_cannot_be_made_is_refused(name: str, options: dict, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        surrogates.make(name, 5, **options)


def test_sizes_come_from_the_task_or_are_given() -> None:
    task = tasks.make("simplex_socp", features=4, seed=0)
    assert (surrogates.make(task).in_features, surrogates.make("relu-joint", task).context_features) == (4, 8)
    with pytest.raises(ModelError, match=r"write make\(task\)"):
        surrogates.make(task, 4)
    with pytest.raises(ModelError, match="needs in_features, the length of x, or a task"):
        surrogates.make("soc-partial")


def test_a_partial_soc_surrogate_learns_a_task() -> None:
    from decision import fit
    from decision.metrics import within_context_error

    task = tasks.make("simplex_socp", features=4, seed=0)
    data, held_out = (task.sample(contexts=150, candidates=16, seed=seed) for seed in (1, 2))
    model = surrogates.make("soc-partial", 4, generator=generator(0), norm=(4,), hidden_features=(4,))
    fit(model, data, epochs=60, progress=False)
    f = model.double()(held_out.x, held_out.context.unsqueeze(1))
    assert within_context_error(f, held_out.y) < 0.15
