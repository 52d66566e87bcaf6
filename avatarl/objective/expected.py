"""The expected reward itself: policy loss = − E_π[r], without ratio clipping.

Exhaustive exploration gives the exact sum −Σ_a π(a)·r(a); sampled exploration gives its unbiased
estimate −Σ_k w_k·ρ_k·r_k. With ``reward=propensity`` at α = 1 its gradient is cross-entropy's.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from typing_extensions import override

from avatarl.interfaces import Exploration, Hyperparameters
from avatarl.objective import baselines, terms


@dataclass(frozen=True)
class Config(baselines.Config):
    """No settings but the baseline, which changes the variance of sampled rewards alone."""

    @override
    def build(self) -> Expected:
        return Expected(self)


class Expected(baselines.Compared):
    """Climbs E_π[r]."""

    def policy_loss(
        self,
        logprobs: Tensor,
        exploration: Exploration,
        rewards: Tensor,
        hparams: Hyperparameters,
        facts: dict[str, Tensor] | None,
    ) -> Tensor:
        """Return −Σ w·ρ·r, (B,T)."""
        returns = terms.returns_of(rewards, exploration)
        compared = self.compared(returns, exploration.group, hparams)
        return -terms.estimate(logprobs, exploration, compared)
