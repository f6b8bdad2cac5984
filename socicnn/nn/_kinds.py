"""The kinds of networks, and of models made of them, that files can hold, by the name that files store.

Other packages add theirs: by `NETWORKS.register(...)` when they are imported, and by an entry point of the group
`socicnn.networks`, so that a file can be loaded before anybody has imported them.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any

from socicnn._registry import Registry
from socicnn._shadows import PACKAGES, refuse_shadow

GROUP = "socicnn.networks"

NETWORKS: Registry[Any] = Registry(
    "network",
    {
        "ConvSOCICNN": "socicnn.nn._convolutional:ConvSOCICNN",
        "ICKAN": "socicnn.nn._kolmogorov_arnold:ICKAN",
        "ICNN": "socicnn.nn._feedforward:ICNN",
        "RecurrentSOCICNN": "socicnn.nn._recurrent:RecurrentSOCICNN",
        "SOCICNN": "socicnn.nn._feedforward:SOCICNN",
    },
)


def knows_network(name: str) -> bool:
    """Tell whether `NETWORKS` or an installed package has a network of that name; afterwards `NETWORKS` has it.

    A file's name is looked up in what is installed, and never imported from: loading a file runs no code of the file's.
    """
    if name not in NETWORKS:
        for point in entry_points(group=GROUP, name=name):
            if point.module.partition(".")[0] in PACKAGES:
                refuse_shadow(point.module.partition(".")[0])
            NETWORKS.register(name, point.load())
            break
    return name in NETWORKS
