"""The expected reward itself: policy loss = − E_π[r], without ratio clipping.

Exhaustive exploration gives the exact sum −Σ_a π(a)·r(a); sampled exploration gives its unbiased
estimate −Σ_k w_k·ρ_k·r_k. With ``reward=propensity`` at α = 1 its gradient is cross-entropy's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor
from typing_extensions import override

from avatarl.interfaces import Exploration, Hyperparameters
from avatarl.objective import regularised, terms


@dataclass(frozen=True)
class Config(regularised.Config):
    """Whether sampled rewards are centred, which changes their variance alone."""

    baseline: Literal["group_mean", "none"]

    @property
    @override
    def uses_baseline(self) -> bool:
        return self.baseline != "none"

    @override
    def build(self) -> Expected:
        return Expected(self)


class Expected(regularised.Regularised):
    """Climbs E_π[r]."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.config: Config = config

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
        if self.config.uses_baseline:
            returns = returns - terms.group_mean(returns, exploration.group)
        return -terms.estimate(logprobs, exploration, returns)
