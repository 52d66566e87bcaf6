"""What was tried, what came of it, and whom the policy is held to."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Exploration:
    """The actions tried at each position, and how they count.

    The K actions of a position share its context, unless they belong to rollouts: then each
    rollout has a context of its own that holds all it wrote, and T counts its steps.

    Attributes:
        actions: (B,T,K) int64, or None when all V characters are tried in order.
        weights: (B,T,K) how much each action's surrogate counts in the position's sum: the old
            policy's probability, 1, or an importance weight.
        group: (B,T,K) weights of the group's mean and spread, summing to 1 over K.
        matches: (B,T,K) 1.0 where the action is the text's character. All that anything after the
            explorer learns about the text.
        contexts: (B,L) int64 what the policy had read; (B·K,L) in rollouts.
        old_logprobs: (B,T,V) the acting policy on ``contexts``; (B·K,T,V) in rollouts.
        old_probs: Likewise, its probabilities.
        carry: (B,T,K) what a return counts one step earlier in a rollout: the discount times the
            action's importance; None outside rollouts.
        shares: (B,T,K) in rollouts, what ``weights`` are before they are discounted; else None.
        position_weights: (B,T) how much each position counts in the loss, or None for 1.
        dropped_logprobs: As ``old_logprobs``, with what dropout takes from the trained policy taken
            from the acting one too; None without dropout.
    """

    actions: Tensor | None
    weights: Tensor
    group: Tensor
    matches: Tensor
    contexts: Tensor
    old_logprobs: Tensor
    old_probs: Tensor
    carry: Tensor | None = None
    shares: Tensor | None = None
    position_weights: Tensor | None = None
    dropped_logprobs: Tensor | None = None

    @property
    def compared_logprobs(self) -> Tensor:
        """What the trained policy is compared with: at equal weights its ratio to it is 1."""
        return self.old_logprobs if self.dropped_logprobs is None else self.dropped_logprobs

    @property
    def policy_weights(self) -> Tensor:
        """(B,T,K) weights of a mean under the acting policy: exact, or its unbiased estimate."""
        if self.actions is None:
            return self.old_probs
        return self.weights if self.shares is None else self.shares

    def select(self, values: Tensor) -> Tensor:
        """Pick the actions' entries of values shaped as ``old_logprobs``: to (B,T,K)."""
        if self.actions is None:
            return values
        if self.carry is None:
            return values.gather(-1, self.actions)
        windows, steps, rollouts = self.actions.shape
        own = values.view(windows, rollouts, steps, -1).transpose(1, 2)  # (B,T,K,V)
        return own.gather(-1, self.actions.unsqueeze(-1)).squeeze(-1)


@dataclass(frozen=True)
class RewardInputs:
    """What a reward may look at, action by action.

    Attributes:
        exploration: What was tried, and which of it hit.
        old_probs: (B,T,K) probability of the action under the old policy: its confidence.
        ref_logprobs: (B,T,K) log-probability under the reference, or None without one.
        past_logprobs: (B,T,K) log-probability under the opponent, or None without one.
    """

    exploration: Exploration
    old_probs: Tensor
    ref_logprobs: Tensor | None
    past_logprobs: Tensor | None

    @property
    def matches(self) -> Tensor:
        """(B,T,K) 1.0 where the action is the text's character."""
        return self.exploration.matches


@dataclass(frozen=True)
class Regularisers:
    """Whom an objective may hold the policy to; log-probabilities shaped as the policy's.

    Attributes:
        reference: The n-gram reference, or None.
        past: The opponent (a past or averaged self), or None.
        gate: (B,T) in [0, 1], how much the reference counts at each position, or None for 1.
    """

    reference: Tensor | None
    past: Tensor | None = None
    gate: Tensor | None = None


def mean_over_positions(values: Tensor, weights: Tensor | None) -> Tensor:
    """Average (B,T) over positions, each times its weight where given; returns a 0-d tensor."""
    return values.mean() if weights is None else (values * weights).mean()
