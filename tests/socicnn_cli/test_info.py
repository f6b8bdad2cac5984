"""`socicnn info`: what a file holds, for a reader and as JSON."""

import json
from pathlib import Path

import numpy as np
import torch

import socicnn
from socicnn import ICNN, SOCICNN
from socicnn._ranges import Ranges
from socicnn.frozen import FrozenNet, Output, Quadratic


def test_a_fitted_model_says_how_it_was_trained(run, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(-1.0, 3.0, size=(30, 2))
    np.savez(tmp_path / "data.npz", x=x, y=(x**2).sum(axis=1))
    model = tmp_path / "model.safetensors"
    assert run("fit", tmp_path / "data.npz", "--epochs", 2, "--seed", 5, "--out", model)[0] == 0
    status, out, _ = run("info", model)
    assert status == 0
    assert "loss mse, points 30, epochs 2" in out
    assert "seed 5" in out
    assert f"x0 in [{x[:, 0].min():.4g}, {x[:, 0].max():.4g}]" in out
    facts = json.loads(run("info", model, "--json")[1])
    loaded = socicnn.load(model)
    assert facts["fingerprint"] == loaded.freeze().fingerprint
    assert facts["x"]["lower"] == x.min(axis=0).tolist()
    assert facts["metadata"]["trained"]["seed"] == 5
    assert facts["parameters"] == sum(p.numel() for p in loaded.parameters())
    assert facts["context"] is None


def test_a_model_with_contexts_has_its_fingerprint_at_one(run, tmp_path: Path) -> None:
    model, theta = tmp_path / "model.safetensors", np.array([[0.5, -1.0]])
    network = SOCICNN(3, (4,), context_features=2, generator=torch.Generator().manual_seed(0))
    network.ranges = Ranges.of(np.zeros((1, 3)), theta)
    socicnn.save(network, model, {"set": "box"})
    np.save(tmp_path / "one.npy", theta)
    np.save(tmp_path / "two.npy", np.zeros((2, 2)))
    status, out, _ = run("info", model)
    assert status == 0
    assert "fingerprint: another at every context; name one with --context" in out
    assert "theta0 in [0.5, 0.5]" in out
    assert "trained: the file does not say how" in out
    assert "metadata: set box" in out
    status, out, _ = run("info", model, "--context", tmp_path / "one.npy")
    assert (status, network.double().freeze(theta[0]).fingerprint in out) == (0, True)
    status, _, err = run("info", model, "--context", tmp_path / "two.npy")
    assert (status, "one context; received 2" in err) == (2, True)


def test_frozen_networks_and_networks_that_do_not_freeze(run, tmp_path: Path) -> None:
    net = FrozenNet([], Output([], [0.0, 1.0]), [Quadratic(1.0, np.eye(2))])
    net.save(tmp_path / "net.safetensors")
    status, out, _ = run("info", tmp_path / "net.safetensors")
    assert (status, net.fingerprint in out) == (0, True)
    socicnn.save(net, tmp_path / "net.safetensors", {"set": "simplex"})
    assert "metadata: set simplex" in run("info", tmp_path / "net.safetensors")[1]
    soft = ICNN(3, (4,), activation="softplus")
    socicnn.save(soft, tmp_path / "soft.safetensors")
    status, out, _ = run("info", tmp_path / "soft.safetensors")
    assert (status, soft.freeze().fingerprint in out) == (0, True)
    with torch.no_grad():
        next(soft.parameters()).view(-1)[0] = torch.inf
    socicnn.save(soft, tmp_path / "infinite.safetensors")
    status, out, _ = run("info", tmp_path / "infinite.safetensors")
    assert status == 0
    assert "fingerprint: none: " in out
    (tmp_path / "broken.safetensors").write_bytes(b"no model")
    status, out, err = run("info", tmp_path / "broken.safetensors")
    assert (status, out, err.count("\n")) == (2, "", 1)
