#!/usr/bin/env bash
# Surprise: deepinv's ICNN gives a batch of B images B times the gradient of each of them.
# Guess: row b of model.grad(images) is model.grad of image b alone, and model(images) has shape (B, 1).
# Seen: for 4 images model(images) has shape (4, 4): shapes (4, 1) and (4,) are added. The gradients are 4.0 times those of
#   the images one by one, so that a step size that is right for one image is 4 times too long for 4.
# In this project: modules are read at batches of one; the tests hold deepinv's values of single images.
# Ends with 1 if the behaviour is another one than the one seen.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --no-compile numpy==2.4.6 torch==2.13.0
venv/bin/pip install --quiet --no-compile --no-deps deepinv==0.5.0 requests==2.32.5 certifi==2025.10.5 urllib3==2.5.0 idna==3.11 charset-normalizer==3.4.4
cat > finding.py <<'PY'
import sys
import types
import unittest.mock
from importlib.metadata import distribution, version

import torch

# the network's file alone: what else the package starts with needs torchvision, which the network does not use
for name in ("deepinv", "deepinv.models", "deepinv.utils"):
    package = types.ModuleType(name)
    package.__path__ = [str(distribution("deepinv").locate_file(name.replace(".", "/")))]
    sys.modules[name] = package
for name in ("torchvision", "torchvision.transforms"):
    sys.modules[name] = unittest.mock.MagicMock()
from deepinv.models.icnn import ICNN

torch.manual_seed(0)
model = ICNN(in_channels=1, num_filters=3, kernel_dim=3, num_layers=2)
images = torch.randn(4, 1, 5, 5)
together = model.grad(images).detach()
alone = torch.cat([model.grad(image[None]).detach() for image in images])
shape = tuple(model(images).shape)
ratio = (together / alone).flatten()
print("deepinv", version("deepinv"), "torch", version("torch"), "values of 4 images:", shape)
print(f"gradient of the batch / of the image alone: {ratio.min():.4f} to {ratio.max():.4f}")
if shape != (4, 4) or (ratio - 4).abs().max() > 1e-3:
    sys.exit("The behaviour has changed.")
print("As seen before.")
PY
venv/bin/python finding.py
