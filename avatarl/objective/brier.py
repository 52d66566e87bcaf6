"""Expected reward minus half the squared probabilities: policy loss = −(E_π[r] − ½ Σ π²).

With the plain match this is the Brier score's negative half, a proper score: its optimum is the
truth itself, with a bounded gradient, and a sampled estimate of it stays unbiased. For other
rewards the optimum is the expected reward's projection onto the probabilities.

Source: Brier 1950, *Verification of forecasts expressed in terms of probability*.
"""

from __future__ import annotations

from dataclasses import dataclass

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
    def build(self) -> Brier:
        return Brier(self)


class Brier(regularised.Regularised):
    """Climbs the quadratic score."""

    def policy_loss(
        self,
        logprobs: Tensor,
        exploration: Exploration,
        rewards: Tensor,
        hparams: Hyperparameters,
        facts: dict[str, Tensor] | None,
    ) -> Tensor:
        """Return ½Σπ² − Σ w·ρ·r, (B,T)."""
        return terms.half_square(logprobs) - terms.estimate(logprobs, exploration, rewards)
