"""Optimisers and their learning-rate schedules; torch's own, chosen and grouped."""

from __future__ import annotations

import importlib

import torch

from avatarl.optimizer.base import Config, learning_rate_factor

__all__ = ["Config", "build", "learning_rate_factor", "set_learning_rate"]


def build(config: Config, parameters: dict[str, torch.Tensor]) -> list[torch.optim.Optimizer]:
    """Make the optimisers that together update all ``parameters`` (by name)."""
    module = importlib.import_module(f"avatarl.optimizer.{config.name}")
    optimizers: list[torch.optim.Optimizer] = module.build(config, parameters)
    return optimizers


def set_learning_rate(optimizers: list[torch.optim.Optimizer], factor: float) -> None:
    """Set every group's learning rate to its configured one times ``factor``."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            rate = group["base_lr"] * factor
            if isinstance(group["lr"], torch.Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate
