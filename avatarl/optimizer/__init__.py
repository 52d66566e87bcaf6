"""Optimisers and their learning-rate schedules; torch's own, chosen and grouped."""

from __future__ import annotations

import torch

from avatarl.optimizer.base import Config, learning_rate_factor

__all__ = ["Config", "learning_rate_factor", "set_learning_rate"]


def set_learning_rate(optimizers: list[torch.optim.Optimizer], factor: float) -> None:
    """Set every group's learning rate to its configured one times ``factor``."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            rate = group["base_lr"] * factor
            if isinstance(group["lr"], torch.Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate
