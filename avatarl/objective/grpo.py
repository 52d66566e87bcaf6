"""Group-relative policy optimisation, exact where the explorer is exhaustive.

loss = − Σ_a w_a · min(ρ_a A_a, clip(ρ_a) A_a) + λ · KL(π ‖ ref) − β · H(π),
averaged over positions; ρ = π/π_old, A = (r − group mean) / max(group std, floor).

The division by the group's std follows the published algorithm; on one-hot rewards it cancels
whatever scales them and turns the objective into 2·arcsin√π_y, which seeks certainty.
``dr_grpo`` leaves it out.

Source: Shao et al. 2024, arXiv 2402.03300, §4.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt
from torch import Tensor

from avatarl.game import Exploration, Knobs, mean_over_positions
from avatarl.objective import base, terms


@dataclass(frozen=True)
class Clipped(base.Config):
    """Settings that the clipped, KL-regularised objectives share."""

    baseline: Literal["group_mean", "none"]
    clip_coef: Annotated[float, Gt(0)]
    kl_coef: Annotated[float, Ge(0)]  # λ
    kl_warmup_characters: Annotated[float, Ge(0)]
    kl_target: Annotated[float, Gt(0)] | None  # nats; null keeps λ as it is
    kl_window: Annotated[float, Ge(1)]  # steps
    ent_coef: Annotated[float, Ge(0)]  # β
    sync_every: Annotated[int, Ge(1)]  # steps

    @property
    def needs_reference(self) -> bool:
        """Where the KL term counts."""
        return self.kl_coef > 0

    @property
    def uses_baseline(self) -> bool:
        """As configured."""
        return self.baseline != "none"

    @property
    def old_policy_age(self) -> int:
        """Steps between refreshes of the acting policy."""
        return self.sync_every


@dataclass(frozen=True)
class Config(Clipped):
    """GRPO: advantages divided by the group's std."""

    std_floor: Annotated[float, Gt(0)]


class ClippedObjective:
    """The loss above; ``std_floor`` None leaves the advantages in the reward's own unit."""

    def __init__(self, config: Clipped, normalize_std: bool) -> None:
        self.config = config
        self.normalize_std = normalize_std

    def initial_control(self) -> dict[str, float]:
        """The KL coefficient's factor starts at 1, the divergence on its target."""
        return {"kl_scale": 1.0, "kl_mean": self.config.kl_target or 0.0}

    def advantages(self, returns: Tensor, group: Tensor, knobs: Knobs) -> Tensor:
        """Centre and, in GRPO, scale within each position's group: (B,T,K) to (B,T,K)."""
        centred = returns
        if self.config.uses_baseline:
            centred = returns - terms.group_mean(returns, group)
        if self.normalize_std:
            centred = centred / terms.group_std(returns, group).clamp_min(knobs["std_floor"])
        return centred

    def __call__(
        self,
        logprobs: Tensor,
        exploration: Exploration,
        rewards: Tensor,
        ref_logprobs: Tensor | None,
        knobs: Knobs,
        control: base.Control,
    ) -> base.Terms:
        """Compute the loss; see :class:`avatarl.objective.base.Objective`."""
        returns = terms.returns_of(rewards, exploration)
        advantages = self.advantages(returns, exploration.group, knobs)
        old_logprobs = exploration.select(exploration.old_logprobs)  # (B,T,K)
        ratio = (exploration.select(logprobs) - old_logprobs).exp()
        surrogate, clipped = terms.clipped_surrogate(
            ratio, advantages, exploration.weights, knobs["clip_coef"]
        )
        policy = -mean_over_positions(surrogate, exploration.position_weights)
        spread = mean_over_positions(terms.entropy(logprobs), exploration.position_weights)
        loss = policy - knobs["ent_coef"] * spread
        facts = {
            "train/policy": policy,
            "train/entropy": spread,
            "health/clip_fraction": clipped.mean(),
        }
        if ref_logprobs is not None:
            divergence = terms.kl_divergence(logprobs, ref_logprobs)
            kl = mean_over_positions(divergence, exploration.position_weights)
            facts["train/kl"] = kl
            if self.config.kl_coef > 0:
                coefficient = knobs["kl_coef"] * control["kl_scale"]
                coefficient = coefficient * terms.warmed_up(
                    knobs["characters_seen"], knobs["kl_warmup_characters"]
                )
                loss = loss + coefficient * kl
                facts["train/kl_coef"] = coefficient
                if self.config.kl_target is not None:
                    control = terms.adapted_kl_control(
                        control, kl, self.config.kl_target, self.config.kl_window
                    )
        facts["train/loss"] = loss
        return base.Terms(loss, {name: fact.detach() for name, fact in facts.items()}, control)


def build(config: Config) -> ClippedObjective:
    """Make the objective."""
    return ClippedObjective(config, normalize_std=True)
