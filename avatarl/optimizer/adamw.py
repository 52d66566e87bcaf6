"""AdamW for every weight; decay on matrices alone.

Source: Loshchilov & Hutter 2019, arXiv 1711.05101.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from avatarl.optimizer import base
from avatarl.optimizer.uncompiled import uncompiled

_AdamW = uncompiled(torch.optim.AdamW)


@dataclass(frozen=True)
class Config(base.Config):
    """AdamW has the common settings only."""


def build(config: base.Config, parameters: dict[str, torch.Tensor]) -> list[torch.optim.Optimizer]:
    """Make one fused AdamW over ``parameters``."""
    decayed = [weight for weight in parameters.values() if weight.dim() >= 2]
    plain = [weight for weight in parameters.values() if weight.dim() < 2]
    groups = [
        {"params": decayed, "weight_decay": config.weight_decay, "base_lr": config.lr},
        {"params": plain, "weight_decay": 0.0, "base_lr": config.lr},
    ]
    betas = (config.beta1, config.beta2)
    return [_AdamW(groups, lr=config.lr, betas=betas, fused=True)]
