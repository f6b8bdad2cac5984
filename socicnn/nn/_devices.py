"""Devices by name, refused in a sentence if torch does not see them."""

from __future__ import annotations

import torch

from socicnn.errors import ModelError


def as_device(device: torch.device | str | None) -> torch.device:
    """Return a device that exists; torch's default if None.

    Raises:
        ModelError: torch does not know the name, or sees no such device.

    >>> as_device("cpu")
    device(type='cpu')
    """
    if device is None:
        return torch.empty(0).device  # torch.get_default_device does not see `with torch.device(...)` in old versions
    try:
        chosen = torch.device(device)
    except (RuntimeError, TypeError):
        raise ModelError(f"device must be a torch device such as 'cpu' or 'cuda'; received {device!r}") from None
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        raise ModelError(
            f"device {str(chosen)!r} asks for a GPU, and torch sees {torch.cuda.device_count()}; leave device out, or "
            "install a build of torch for your GPU"
        )
    return chosen
