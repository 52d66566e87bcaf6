"""The pieces objectives are made of, each a few lines of tensor arithmetic.

Source: Schulman et al. 2017, arXiv 1707.06347, §3 (clipped surrogate); Shao et al. 2024,
arXiv 2402.03300, §4.1 (group-relative advantage); Ziegler et al. 2019, arXiv 1909.08593, §2.2
(adaptive KL coefficient).
"""

from __future__ import annotations

import torch
from torch import Tensor

from avatarl.game import Exploration
from avatarl.objective.base import Control


def group_mean(values: Tensor, group: Tensor) -> Tensor:
    """Mean over a position's actions: (B,T,K) and group weights to (B,T,1)."""
    return (group * values).sum(dim=-1, keepdim=True)


def group_std(values: Tensor, group: Tensor) -> Tensor:
    """Standard deviation over a position's actions, (B,T,1)."""
    centred = values - group_mean(values, group)
    return group_mean(centred.square(), group).sqrt()


def clipped_surrogate(
    ratio: Tensor, advantages: Tensor, weights: Tensor, clip_coef: Tensor
) -> tuple[Tensor, Tensor]:
    """PPO's pessimistic surrogate, summed over the actions of a position.

    Args:
        ratio: (B,T,K) π/π_old.
        advantages: (B,T,K).
        weights: (B,T,K) how much each action counts.
        clip_coef: ratios are clipped to [1 − clip_coef, 1 + clip_coef].

    Returns:
        The surrogate (B,T), to be maximised, and the weighted share of clipped actions (B,T).
    """
    clipped = ratio.clamp(1 - clip_coef, 1 + clip_coef)
    surrogate = torch.minimum(ratio * advantages, clipped * advantages)
    with torch.no_grad():
        # Clipping acts only where it makes the surrogate smaller.
        active = (clipped * advantages < ratio * advantages).to(weights.dtype)
        share = (weights * active).sum(-1) / weights.sum(-1).clamp_min(1e-12)
    return (weights * surrogate).sum(dim=-1), share


def entropy(logprobs: Tensor) -> Tensor:
    """Entropy of each position's distribution in nats: (…,V) to (…)."""
    return -(logprobs.exp() * logprobs).sum(dim=-1)


def kl_divergence(logprobs: Tensor, other: Tensor) -> Tensor:
    """Exact KL(π ‖ other) in nats: (…,V) twice to (…)."""
    return (logprobs.exp() * (logprobs - other)).sum(dim=-1)


def warmed_up(characters_seen: Tensor, warmup_characters: Tensor) -> Tensor:
    """Rise from 0 to 1 over the first ``warmup_characters``; 1 throughout if that is 0."""
    return (
        (characters_seen / warmup_characters.clamp_min(1))
        .clamp_max(1)
        .where(warmup_characters > 0, torch.ones_like(characters_seen))
    )


def discounted_to_go(rewards: Tensor, discount: Tensor) -> Tensor:
    """Rewards from each step of a rollout on: (B,H,K) to (B,H,K)."""
    to_go = torch.zeros_like(rewards[:, 0])
    returns = []
    for step in reversed(range(rewards.shape[1])):
        to_go = rewards[:, step] + discount * to_go
        returns.append(to_go)
    return torch.stack(returns[::-1], dim=1)


def returns_of(rewards: Tensor, exploration: Exploration) -> Tensor:
    """What each action is credited with: its reward, or in rollouts all that follow it."""
    if exploration.discount is None:
        return rewards
    return discounted_to_go(rewards, exploration.discount)


def adapted_kl_control(control: Control, kl: Tensor, target: float, window: float) -> Control:
    """Let the KL coefficient's factor compound towards the target divergence.

    Args:
        control: ``kl_scale`` (the factor) and ``kl_mean`` (running mean of the divergence).
        kl: This step's divergence, 0-d.
        target: Wanted divergence in nats.
        window: Steps the running mean looks back.
    """
    mean = control["kl_mean"] + (kl.detach() - control["kl_mean"]) / window
    error = (mean / target - 1).clamp(-0.2, 0.2)
    # Bounded, so that an unreachable target can't make the coefficient overflow.
    scale = (control["kl_scale"] * (1 + 0.5 * error)).clamp(1e-3, 1e3)
    return {"kl_scale": scale, "kl_mean": mean}
