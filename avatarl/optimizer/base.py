"""Settings every optimiser has, and the learning-rate schedule."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Gt, Le, Lt

from avatarl.options import Option


@dataclass(frozen=True)
class Config(Option, ABC):
    """Learning rate, its schedule, and clipping of the gradient."""

    lr: Annotated[float, Gt(0)]
    weight_decay: Annotated[float, Ge(0)]
    beta1: Annotated[float, Ge(0), Lt(1)]
    beta2: Annotated[float, Ge(0), Lt(1)]
    grad_clip: Annotated[float, Gt(0)]  # largest norm of the whole gradient
    schedule: Literal["constant", "cosine"]
    warmup_fraction: Annotated[float, Ge(0), Lt(1)]  # of the run's steps
    final_fraction: Annotated[float, Ge(0), Le(1)]  # of lr, at the end of a cosine

    @abstractmethod
    def build(self, parameters: dict[str, torch.Tensor]) -> list[torch.optim.Optimizer]:
        """Make the optimisers that together update all ``parameters`` (by name).

        Each group of theirs holds its learning rate a second time, as ``base_lr``.
        """


def learning_rate_factor(config: Config, step: int, steps: int) -> float:
    """Return what the learning rate is multiplied with at ``step`` (0-based) of ``steps``.

    Linear warm-up, then constant, or half a cosine down to ``final_fraction``.
    """
    warmup = round(config.warmup_fraction * steps)
    if step < warmup:
        return (step + 1) / warmup
    if config.schedule == "constant":
        return 1.0
    progress = (step - warmup) / max(1, steps - warmup)
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
    return config.final_fraction + (1 - config.final_fraction) * cosine
