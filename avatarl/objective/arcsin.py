"""The objective that GRPO's division by the group's std amounts to on one-hot rewards.

policy loss = − Σ_a r(a) · 2·arcsin √π(a). It is steep near certainty and near impossibility, and
its optimum for a noisy source is sharper than the truth. Here it can be studied without clipping,
groups or floors in the way.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from typing_extensions import override

from avatarl.interfaces import Exploration, Hyperparameters
from avatarl.objective import regularised, terms


@dataclass(frozen=True)
class Config(regularised.Config):
    """No settings of its own."""

    @property
    @override
    def needs_policy_weights(self) -> bool:
        return True

    @property
    @override
    def needs_single_step(self) -> bool:
        return True

    @override
    def build(self) -> Arcsin:
        return Arcsin(self)


class Arcsin(regularised.Regularised):
    """Climbs 2·arcsin √π of what is rewarded."""

    def policy_loss(
        self,
        logprobs: Tensor,
        exploration: Exploration,
        rewards: Tensor,
        hparams: Hyperparameters,
        facts: dict[str, Tensor] | None,
    ) -> Tensor:
        """Return −Σ r·2·arcsin√π over all actions, or its unbiased estimate, (B,T)."""
        angles = terms.twice_arcsine(exploration.select(logprobs))  # (B,T,K)
        if exploration.actions is None:
            return -(rewards * angles).sum(dim=-1)
        # w = π_old/(K·μ); the sum is over actions, not over choices of the policy.
        old_probs = exploration.select(exploration.old_probs)
        counts = exploration.weights / old_probs.clamp_min(torch.finfo(old_probs.dtype).tiny)
        return -(counts * rewards * angles).sum(dim=-1)
