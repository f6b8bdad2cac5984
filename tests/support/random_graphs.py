"""Random ONNX graphs of one to four nodes: every kind of node that is read, its forms in old and new opsets."""

import numpy as np

from tests.support.growing_graphs import Growing, content, runner
from tests.support.random_nodes import MAKERS


def draw_graph(seed: int) -> tuple[Growing, bytes, list[str]] | None:
    """Return a graph that ends in one number, its bytes, and the kinds of its nodes; None if nothing fitted.

    A node that onnxruntime does not run here (shapes that do not fit, no float64 kernel) is left out.
    """
    rng = np.random.default_rng(seed)
    graph = Growing(rng)
    point = {"x": np.zeros(graph.input_shape, graph.kind)}
    kinds: list[str] = []
    for _ in range(int(rng.integers(1, 5))):
        name = str(rng.choice(list(MAKERS)))
        since, make = MAKERS[name]
        kept = len(graph.nodes), len(graph.weights)
        try:
            if graph.opset < since:
                continue
            tensor = make(graph)
            value = runner(content(graph, tensor)).run([tensor], point)[0]
            if value.size == 0 or value.size > 500:
                raise ValueError("empty, or too large")
        except Exception:  # does not fit: onnxruntime has errors of many kinds
            del graph.nodes[kept[0] :], graph.weights[kept[1] :]
            continue
        graph.tensor, graph.shape = tensor, value.shape
        kinds.append(name)
    if not kinds:
        return None
    end = graph("ReduceSum", graph.tensor, keepdims=0)
    return graph, content(graph, end), kinds
