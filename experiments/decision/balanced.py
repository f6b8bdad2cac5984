"""`balanced-partial`: `soc-partial` with half of its labels spent on values, and the other half end to end.

Half of the candidates of every context train the values, as for `soc-partial`. What the labels of the other half pay
for goes into steps on the true cost of the network's own decisions, through a `DecisionLayer`: a gradient of the true
cost counts as n + 1 labels, as finite differences would need, and so do the checks. In all it has no more labels than a
model that is trained on all candidates.
"""

from __future__ import annotations

import time
from typing import Any

from decision.learning import FocusedOptions, fit_focused
from decision.tasks import Data
from experiments.decision.contest import afresh, validation_cost
from experiments.decision.deciding import optimum, settle
from experiments.decision.instances import FRESH, Instance, Sizes
from experiments.decision.judging import count, errors
from experiments.decision.models import UNFOCUSED, Configuration, train
from experiments.engine.tables import Row
from socicnn.nn._network import Network

STEPS, RATE = 80, 2e-3  # of the training end to end, chosen on validation contexts of budget_twocone_socp at n = 10
EXACT = FocusedOptions(gradient="exact")


def contend_balanced(
    *,
    instance: int,
    task: str,
    n: int,
    model: str,
    loss: str,
    configurations: list[Configuration],
    finalists: int,
    sizes: dict[str, Any],
    fresh: int,
    version: dict[str, Any],
    seed: int,
    chosen: int | None = None,
) -> list[Row]:
    """Choose a configuration by its decisions after training on values, then train it end to end, and judge it.

    The arguments are those of `contest.contend`.
    """
    drawn = Instance.of(task, n, Sizes(**{**sizes, "instance": instance}))
    contexts, theta = drawn.draw(FRESH, fresh), drawn.tuning_contexts()
    known, least = optimum(drawn.task, contexts), optimum(drawn.task, theta)[1]
    half, started, labels = halved(drawn.train), time.process_time(), 0

    def by_values(number: int, share: float) -> Network:
        return train(UNFOCUSED, loss, half, seed, configurations[number], share).model

    def cost_of(network: Network) -> float:
        return validation_cost(drawn, settle(drawn.task, network, theta, least), theta)

    numbers = [chosen] if chosen is not None else list(range(len(configurations)))
    if len(numbers) > finalists:
        costs = [cost_of(by_values(number, sizes["tuning_share"])) for number in numbers]
        labels += len(numbers) * len(theta)
        numbers = sorted(numbers, key=costs.__getitem__)[:finalists]
    trained = {number: by_values(number, sizes["share"]) for number in numbers}
    best = numbers[0]
    if len(numbers) > 1:
        labels += len(numbers) * len(theta)
        best = min(numbers, key=lambda number: cost_of(trained[number]))
    network, steps = trained[best], max(1, round(sizes["share"] * STEPS))
    spent = fit_focused(
        network,
        drawn.task,
        half,
        steps=steps,
        contexts=affordable(drawn.train.labels - half.labels, len(half), n, steps),
        learning_rate=RATE,
        seed=seed,
        progress=False,
        options=EXACT,
    )
    shared: Row = {
        "configuration": best,
        "parameters": count(network),
        "labels": half.labels + labels + spent.labels,
        **errors(network, drawn.validation()),
        "train_cpu_s": time.process_time() - started,
    }
    return [{"method": "certified", **shared, **afresh(drawn, network, contexts, known)}]


def halved(data: Data) -> Data:
    """Return the first half of every context's candidates."""
    candidates = data.x.shape[1] // 2
    return Data(data.x[:, :candidates], data.context, data.y[:, :candidates])


def affordable(labels: int, contexts: int, n: int, steps: int) -> int:
    """Return how many contexts per step the labels pay for, the checks on held-out contexts paid first."""
    checks = max(1, round(EXACT.held_out * contexts)) * (1 + -(-steps // EXACT.every))
    return max(1, (labels - checks) // (steps * (n + 1)))
