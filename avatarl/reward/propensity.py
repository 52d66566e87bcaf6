"""Inverse propensity: a hit pays π_old(y)^(−α), so that rare insights weigh more.

Under policy weighting the objective is Σ p · (π^(1−α) − 1)/(1−α): α = 0 is expected accuracy, whose
optimum is the most probable character alone; α = 1 is exactly the log-likelihood, whose optimum is
the truth. Between them the optimum is p^(1/α), normalised: sharper than the truth by a temperature.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor
from typing_extensions import override

from avatarl.interfaces import Hyperparameters, RewardInputs, Schedule, current
from avatarl.reward import base


@dataclass(frozen=True)
class Config(base.Config):
    """How strongly confidence discounts."""

    alpha: Annotated[float, Ge(0), Le(1)] | Schedule
    cap: Annotated[float, Gt(0)] | Schedule | None  # largest reward; null: none

    @property
    @override
    def fixed_expectation(self) -> float | None:
        # Σ π(a) · 1[a = y] / π(y) = 1
        return 1.0 if self.alpha == 1 and self.cap is None else None

    @override
    def rewards(self, inputs: RewardInputs, hparams: Hyperparameters) -> Tensor:
        held = inputs.old_probs.clamp_min(torch.finfo(inputs.old_probs.dtype).tiny)
        inverse = held.pow(-current(self.alpha, hparams, "alpha"))
        if self.cap is not None:
            inverse = inverse.minimum(current(self.cap, hparams, "cap"))
        return inputs.matches * inverse
