"""What the tests of the command share: the command itself, a model file and a file of contexts."""

from pathlib import Path

import numpy as np
import pytest
import torch

import socicnn
from socicnn import SOCICNN
from tests.support.command import run as run


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "cost.safetensors"
    network = SOCICNN(4, hidden_features=(8,), context_features=2, generator=torch.Generator().manual_seed(0))
    socicnn.save(network, path)
    return path


@pytest.fixture
def context(tmp_path: Path) -> Path:
    np.save(tmp_path / "contexts.npy", np.random.default_rng(1).normal(size=(3, 2)))
    return tmp_path / "contexts.npy"
