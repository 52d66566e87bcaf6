"""AdamW for every weight; decay on matrices alone.

Source: Loshchilov & Hutter 2019, arXiv 1711.05101.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from typing_extensions import override

from avatarl.optimizer import base
from avatarl.optimizer.uncompiled import uncompiled

_AdamW = uncompiled(torch.optim.AdamW)


@dataclass(frozen=True)
class Config(base.Config):
    """AdamW has the common settings only."""

    @override
    def build(self, parameters: dict[str, torch.Tensor]) -> list[torch.optim.Optimizer]:
        return [fused_adamw(self, parameters)]


def fused_adamw(config: base.Config, parameters: dict[str, torch.Tensor]) -> torch.optim.Optimizer:
    """Make one fused AdamW over ``parameters``; on a GPU its learning rate is a tensor there."""
    decayed = [weight for weight in parameters.values() if weight.dim() >= 2]
    plain = [weight for weight in parameters.values() if weight.dim() < 2]
    device = next(iter(parameters.values())).device
    on_gpu = device.type == "cuda"

    def rate() -> float | torch.Tensor:
        return torch.tensor(config.lr, device=device) if on_gpu else config.lr

    groups = [
        {"params": weights, "weight_decay": decay, "lr": rate(), "base_lr": config.lr}
        for weights, decay in ((decayed, config.weight_decay), (plain, 0.0))
    ]
    betas = (config.beta1, config.beta2)
    optimizer: torch.optim.Optimizer = _AdamW(
        groups, lr=rate(), betas=betas, fused=True, capturable=on_gpu
    )
    return optimizer
