"""Group-relative policy optimisation, exact where the explorer is exhaustive.

policy loss = − Σ_a w_a · min(ρ_a A_a, clip(ρ_a) A_a), ρ = π/π_old,
A = (r − group mean) / max(group std, floor).

The division by the group's std follows the published algorithm; on one-hot rewards it cancels
whatever scales them and turns the objective into 2·arcsin√π_y, which seeks certainty.
``dr_grpo`` leaves it out.

Source: Shao et al. 2024, arXiv 2402.03300, §4.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor
from typing_extensions import override

from avatarl.errors import ConfigError
from avatarl.interfaces import LARGEST, Exploration, Hyperparameters, Schedule
from avatarl.objective import baselines, terms


@dataclass(frozen=True)
class Clipped(baselines.Config):
    """Settings that the clipped objectives share."""

    clip_coef: Annotated[float, Gt(0)] | Schedule
    clip_coef_high: Annotated[float, Gt(0)] | Schedule | None  # upper side; null: clip_coef
    dual_clip: Annotated[float, Gt(1)] | Schedule | None
    covariance: Literal["none", "clip", "kl"]  # Clip-Cov, KL-Cov
    covariance_share: Annotated[float, Ge(0), Le(1)] | Schedule  # of actions
    covariance_kl_coef: Annotated[float, Ge(0)] | Schedule

    def __post_init__(self) -> None:
        """Refuse a penalty on leaving an old policy that is never left."""
        super().__post_init__()
        if self.covariance == "kl" and self.sync_every == 1 and self.inner_epochs == 1:
            raise ConfigError(
                "covariance",
                "kl",
                "none or clip, or sync_every or inner_epochs above 1",
                "acting with the policy itself, its divergence from the old one is always 0",
            )


@dataclass(frozen=True)
class Config(Clipped):
    """GRPO: advantages divided by the group's std."""

    std_floor: Annotated[float, Gt(0)] | Schedule

    @override
    def build(self) -> ClippedObjective:
        return ClippedObjective(self, normalize_std=True)


class ClippedObjective(baselines.Compared):
    """The loss above; without ``normalize_std`` advantages stay in the reward's own unit."""

    def __init__(self, config: Clipped, normalize_std: bool) -> None:
        super().__init__(config)
        self.config: Clipped = config
        self.normalize_std = normalize_std

    def advantages(self, returns: Tensor, group: Tensor, hparams: Hyperparameters) -> Tensor:
        """Compare and, in GRPO, scale within each position's group: (B,T,K) to (B,T,K)."""
        advantages = self.compared(returns, group, hparams)
        if self.normalize_std:
            spread = terms.group_std(returns, group)
            advantages = advantages / spread.clamp_min(self.now("std_floor", hparams))
            advantages = advantages.clamp(-LARGEST, LARGEST)
        return advantages

    def policy_loss(
        self,
        logprobs: Tensor,
        exploration: Exploration,
        rewards: Tensor,
        hparams: Hyperparameters,
        facts: dict[str, Tensor] | None,
    ) -> Tensor:
        """Return the negative surrogate (B,T)."""
        config, weights = self.config, exploration.weights
        returns = terms.returns_of(rewards, exploration)
        advantages = self.advantages(returns, exploration.group, hparams)
        chosen = exploration.select(logprobs)  # (B,T,K)
        log_ratio = terms.log_ratio(chosen, exploration)
        ratio = log_ratio.exp()
        low = self.now("clip_coef", hparams)
        high = low if config.clip_coef_high is None else self.now("clip_coef_high", hparams)
        dual = None if config.dual_clip is None else self.now("dual_clip", hparams)
        surrogate, active = terms.clipped_surrogate(ratio, advantages, low, high, dual)
        if config.covariance != "none":
            driving = terms.covariance(chosen.detach(), advantages, weights)
            costly = terms.largest(driving, self.now("covariance_share", hparams))
            if config.covariance == "clip":
                # These actions keep their value and lose their gradient.
                surrogate = torch.where(costly > 0, surrogate.detach(), surrogate)
            else:
                # ρ − 1 − log ρ is each action's part of KL(π_old ‖ π), and never negative.
                apart = ratio - 1 - log_ratio
                coefficient = self.now("covariance_kl_coef", hparams)
                surrogate = surrogate - coefficient * costly * apart
        if facts is not None:
            # The share of the acting policy's mass, whatever the actions' weights are.
            mass = exploration.policy_weights
            total = mass.sum().clamp_min(1e-12)
            clipped = mass * active
            gains = clipped * terms.positive(advantages)
            facts |= {
                "health/clip_fraction": clipped.sum() / total,
                "health/clip_fraction_positive": gains.sum() / total,
                "health/clip_fraction_negative": (clipped - gains).sum() / total,
                "reward/spread_scaled": terms.group_std(advantages, exploration.group).mean(),
            }
        return -terms.weighed(weights * surrogate, exploration)
