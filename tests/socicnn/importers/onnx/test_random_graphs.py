"""2,000 random graphs of one to four nodes, in opsets 7 to the newest, against onnxruntime."""

import collections
import itertools

import numpy as np
import pytest

from socicnn.errors import ModelError
from socicnn.frozen import FrozenNet
from tests.support.growing_graphs import runner
from tests.support.random_graphs import draw_graph
from tests.support.random_nodes import MAKERS

pytestmark = pytest.mark.extra

PARTS, EACH = 4, 500  # graphs that are read and compared; what is refused or empty does not count
# refusals that would be faults of the reader here: each of these graphs runs in onnxruntime
FAULTS = (
    "another function",
    "two values",
    "cannot be",
    "does not let meet",
    "does not fit",
    "no valid",
    "is of a kind",
)


@pytest.mark.parametrize("part", range(PARTS))
def test_random_graphs_are_read_right_or_refused_by_name(part: int) -> None:
    read: collections.Counter[str] = collections.Counter()
    compared = refused = 0
    for seed in itertools.count(part, PARTS):
        drawn = draw_graph(seed)
        if drawn is None:
            continue
        graph, content, kinds = drawn
        try:
            net = FrozenNet.from_onnx(content)
        except ModelError as error:
            said = str(error)
            if any(words in said for words in FAULTS):
                pytest.fail(f"seed {seed}: {kinds}: {said}")
            refused += 1
            assert refused < EACH / 5, f"{refused} refused beside {compared} that were read"
            continue
        session, rng = runner(content), np.random.default_rng(seed)
        x = (2 * rng.normal(size=(3, *graph.input_shape))).astype(graph.kind)
        truth = np.array([session.run(None, {"x": point})[0].reshape(()) for point in x])
        tolerance = (1e-12 if graph.kind is np.float64 else 1e-5) * (1 + np.abs(truth).max())
        np.testing.assert_allclose(net(x), truth, rtol=0, atol=20 * tolerance, err_msg=f"seed {seed}: {kinds}")
        read.update(kinds)
        compared += 1
        if compared == EACH:
            break
    assert set(MAKERS) <= set(read), f"kinds of which no graph was read: {set(MAKERS) - set(read)}"
