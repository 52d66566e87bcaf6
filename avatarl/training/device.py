"""The device that a run is computed on, whichever of those that torch knows."""

from __future__ import annotations

import torch

from avatarl.errors import ConfigError


def pick_device(name: str) -> torch.device:
    """Turn ``trainer.device`` into a device that is there.

    Raises:
        ConfigError: No such device.
    """
    there = torch.accelerator.current_accelerator(check_available=True)
    if name == "auto":
        return there or torch.device("cpu")
    device = torch.device(name)
    found = torch.accelerator.device_count() if there and there.type == device.type else 0
    if device.type != "cpu" and (device.index or 0) >= found:
        valid = "auto or cpu" if there is None else f"auto, cpu or {there.type}"
        raise ConfigError("trainer.device", name, valid, f"{found} such device(s) found")
    return device


def wait_for(device: torch.device) -> None:
    """Return once all that was asked of the device is done."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def widest(device: torch.device) -> torch.dtype:
    """The type that sums are kept in: float64, which Apple's GPUs lack."""
    return torch.float32 if device.type == "mps" else torch.float64
