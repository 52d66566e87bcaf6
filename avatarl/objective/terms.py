"""The pieces objectives are made of, each a few lines of tensor arithmetic.

Source: Schulman et al. 2017, arXiv 1707.06347, §3 (clipped surrogate); Shao et al. 2024,
arXiv 2402.03300, §4.1 (group-relative advantage); Ziegler et al. 2019, arXiv 1909.08593, §2.2
(adaptive KL coefficient); Yu et al. 2025, arXiv 2503.14476, §3.1 (clip-higher); Ye et al. 2020,
arXiv 1912.09729, §3 (dual clip); Cui et al. 2025, arXiv 2505.22617, §4 (Clip-Cov, KL-Cov).
"""

from __future__ import annotations

import torch
from torch import Tensor

from avatarl.interfaces import LARGEST, LARGEST_LOG_RATIO, Exploration
from avatarl.objective.base import ControllerState


def group_mean(values: Tensor, group: Tensor) -> Tensor:
    """Mean over a position's actions: (B,T,K) and group weights to (B,T,1)."""
    return (group * values).sum(dim=-1, keepdim=True)


def group_std(values: Tensor, group: Tensor) -> Tensor:
    """Standard deviation over a position's actions, (B,T,1)."""
    return root_mean_square(values - group_mean(values, group), group)


def root_mean_square(centred: Tensor, group: Tensor) -> Tensor:
    """Standard deviation of what has a group mean of 0 already, (B,T,1)."""
    return group_mean(centred.square(), group).sqrt()


def positive(values: Tensor) -> Tensor:
    """1.0 where a value is above 0, else 0.0.

    By arithmetic: turning truth values into numbers takes a CPU five times as long.
    """
    return values.sign().clamp_min(0)


def clipped_surrogate(
    ratio: Tensor,
    advantages: Tensor,
    low: Tensor,
    high: Tensor,
    dual: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """PPO's pessimistic surrogate of each action.

    Args:
        ratio: (B,T,K) π/π_old.
        advantages: (B,T,K).
        low: Ratios below 1 − low are clipped.
        high: Ratios above 1 + high are clipped.
        dual: Where the advantage is negative, the surrogate isn't let below dual · advantage;
            above 1, or None.

    Returns:
        The surrogate (B,T,K), to be maximised, and 1.0 where a clip is active (B,T,K).
    """
    with torch.no_grad():
        plain = ratio * advantages
        clipped = ratio.maximum(1 - low).minimum(1 + high) * advantages
        active = positive(plain - clipped)  # where clipping makes it smaller
        if dual is not None:
            floor = dual * advantages
            below = positive(-advantages) * positive(floor - plain)
            clipped, active = torch.lerp(clipped, floor, below), torch.maximum(active, below)
        slope, constant = advantages * (1 - active), clipped * active
    # ρA where no clip is active; what it was clipped to, without a gradient, where one is.
    return torch.addcmul(constant, ratio, slope), active


def entropy(probs: Tensor, logprobs: Tensor) -> Tensor:
    """Entropy of each position's distribution in nats: (…,V) to (…)."""
    return -(probs * logprobs).sum(dim=-1)


def kl_divergence(probs: Tensor, logprobs: Tensor, other: Tensor) -> Tensor:
    """Exact KL(first ‖ second) in nats: (…,V) each to (…)."""
    return (probs * (logprobs - other)).sum(dim=-1)


def half_square(logprobs: Tensor) -> Tensor:
    """½ Σ π²: (…,V) to (…)."""
    return 0.5 * (2 * logprobs).exp().sum(dim=-1)


def twice_arcsine(logprobs: Tensor) -> Tensor:
    """2·arcsin √π from log π, with a finite gradient up to π = 1."""
    held = logprobs.clamp_max(-1e-6)
    return 2 * torch.atan2((0.5 * held).exp(), (-torch.expm1(held)).sqrt())


def warmed_up(characters_seen: Tensor, warmup_characters: Tensor) -> Tensor:
    """Rise from 0 to 1 over the first ``warmup_characters``; 1 throughout if that is 0."""
    return (
        (characters_seen / warmup_characters.clamp_min(1))
        .clamp_max(1)
        .where(warmup_characters > 0, torch.ones_like(characters_seen))
    )


def returns_of(rewards: Tensor, exploration: Exploration) -> Tensor:
    """What each action is credited with: its reward, or in rollouts all that follow it too.

    Later rewards count by the discount and by how likely the policy was to get there.
    """
    if exploration.carry is None:
        return rewards
    to_go = torch.zeros_like(rewards[:, 0])
    returns = []
    for step in reversed(range(rewards.shape[1])):
        to_go = (rewards[:, step] + to_go).clamp(-LARGEST, LARGEST)
        returns.append(to_go)
        to_go = exploration.carry[:, step] * to_go
    return torch.stack(returns[::-1], dim=1)  # (B,T,K)


def covariance(logprobs: Tensor, advantages: Tensor, weights: Tensor) -> Tensor:
    """How much each action drives entropy down: its share of Cov(log π, A) over the batch.

    Args:
        logprobs: (B,T,K) of the actions.
        advantages: (B,T,K).
        weights: (B,T,K) how much each action counts.

    Returns:
        (B,T,K) weighted products of the two deviations from their batch means.
    """
    total = weights.sum().clamp_min(1e-12)
    centred = logprobs - (weights * logprobs).sum() / total
    return weights * centred * (advantages - (weights * advantages).sum() / total)


def largest(values: Tensor, share: Tensor) -> Tensor:
    """Mark the largest ``share`` of all values by 1.0, the rest by 0.0."""
    rank = values.flatten().argsort().argsort().view_as(values)
    return (rank >= torch.round((1 - share) * values.numel())).to(values.dtype)


def adapted_kl(
    controller_state: ControllerState, kl: Tensor, target: Tensor, window: Tensor
) -> dict[str, Tensor]:
    """Let the KL coefficient's factor compound towards the target divergence.

    Args:
        controller_state: ``kl_scale``, the factor, and ``kl_mean``, the divergence's running mean.
        kl: This step's divergence, 0-d.
        target: Divergence in nats to be kept.
        window: Steps that the running mean looks back.
    """
    mean = torch.lerp(controller_state["kl_mean"], kl.detach(), 1 / window)
    error = (mean / target - 1).clamp(-0.2, 0.2)
    # Bounded, so that an unreachable target can't make the coefficient overflow.
    scale = (controller_state["kl_scale"] * (1 + 0.1 * error)).clamp(1e-3, 1e3)
    return {"kl_scale": scale, "kl_mean": mean}


def banded_entropy(
    controller_state: ControllerState,
    spread: Tensor,
    least: Tensor | None,
    most: Tensor | None,
    rate: Tensor,
    limit: Tensor,
) -> dict[str, Tensor]:
    """Integrate what the entropy lacks below its band, and exceeds above it.

    Args:
        controller_state: ``ent_extra``, added to the entropy coefficient.
        spread: Mean entropy in nats, 0-d.
        least: Lower end in nats, or None.
        most: Upper end in nats, or None.
        rate: Added to the coefficient, per nat and step.
        limit: Most that is added or taken.
    """
    spread = spread.detach()
    missing = torch.zeros_like(spread)
    if least is not None:
        missing = missing + (least - spread).clamp_min(0)
    if most is not None:
        missing = missing - (spread - most).clamp_min(0)
    extra = controller_state["ent_extra"] + rate * missing
    return {"ent_extra": extra.clamp(-limit, limit)}


def estimate(logprobs: Tensor, exploration: Exploration, values: Tensor) -> Tensor:
    """Σ_a w_a·ρ_a·value_a: E_π[value], exact or estimated without bias.

    Args:
        logprobs: Of the policy, shaped as ``exploration.old_logprobs``.
        exploration: What was tried.
        values: (B,T,K).

    Returns:
        (B,T), with a gradient through ρ = π/π_old.
    """
    ratio = log_ratio(exploration.select(logprobs), exploration).exp()
    return weighed(exploration.weights * ratio * values, exploration)


def log_ratio(chosen: Tensor, exploration: Exploration) -> Tensor:
    """Log π/π_old of the actions, from log π of them: (B,T,K).

    Bounded above: where the old policy gave an action next to nothing, the ratio would overflow.
    """
    return (chosen - exploration.select(exploration.compared_logprobs)).clamp_max(LARGEST_LOG_RATIO)


def weighed(values: Tensor, exploration: Exploration) -> Tensor:
    """Add up the actions' weighted values: (B,T,K) to (B,T)."""
    if exploration.carry is not None:
        # A rollout's importance isn't bounded by the old policy's probability of the step at hand.
        values = values.clamp(-(LARGEST**1.5), LARGEST**1.5)
    return values.sum(dim=-1)
