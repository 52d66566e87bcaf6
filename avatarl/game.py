"""What the parts of one step hand to each other: tensors with names, nothing else.

Shapes: B windows, T scored positions of a window (1, or the whole window), K explored actions a
position, V vocabulary. Probabilities and rewards are float32, characters int64.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

# context (B,L) int64 → log-probabilities (B,T,V) of the next character
Policy = Callable[[Tensor], Tensor]
# What a sweep may vary numerically, as 0-d float32 tensors: ``knobs["kl_coef"]``.
Knobs = Mapping[str, Tensor]


@dataclass(frozen=True)
class Exploration:
    """The actions tried at each position, and how they count.

    The K actions of a position either share its context (then ``contexts`` has B rows), or, in
    rollouts, each has a context of its own (then it has B·T·K rows, in that order, one scored
    position each, and T counts the steps of a rollout).

    Attributes:
        actions: (B,T,K) int64, or None when all V characters are tried in order.
        weights: (B,T,K) how much each action's surrogate counts in the position's sum: the old
            policy's probability, 1, or an importance weight.
        group: (B,T,K) weights of the group's mean and spread, summing to 1 over K.
        hits: (B,T,K) 1.0 where the action is the text's character. All that anything after the
            explorer learns about the text.
        contexts: (B,L) or (B·T·K,L) int64: what the policy had read when it acted.
        old_logprobs: (B,T,V) or (B·T·K,1,V): the acting policy on ``contexts``.
        last: Only the last position of each context is scored.
        discount: Of later rewards within a rollout, 0-d; None outside rollouts.
        position_weights: (B,T) share of each position in the loss, or None for equal shares.
    """

    actions: Tensor | None
    weights: Tensor
    group: Tensor
    hits: Tensor
    contexts: Tensor
    old_logprobs: Tensor
    last: bool
    discount: Tensor | None = None
    position_weights: Tensor | None = None

    def select(self, values: Tensor) -> Tensor:
        """Pick the actions' entries of values on ``contexts``: (B,T,V) to (B,T,K)."""
        if self.actions is None:
            return values
        if self.discount is None:
            return values.gather(-1, self.actions)
        return values.gather(-1, self.actions.reshape(-1, 1, 1)).view_as(self.actions)


@dataclass(frozen=True)
class Outcome:
    """What a reward may look at, action by action.

    Attributes:
        actions: (B,T,K) int64 characters, or None for all V in order.
        hits: (B,T,K) 1.0 where the action is the text's character.
        old_probs: (B,T,K) probability of the action under the old policy: its confidence.
        ref_logprobs: (B,T,K) log-probability under the reference, or None without one.
    """

    actions: Tensor | None
    hits: Tensor
    old_probs: Tensor
    ref_logprobs: Tensor | None


def mean_over_positions(values: Tensor, weights: Tensor | None) -> Tensor:
    """Average (B,T) over positions, by ``weights`` where given; returns a 0-d tensor."""
    if weights is None:
        return values.mean()
    return (values * weights).sum() / weights.sum().clamp_min(torch.finfo(values.dtype).tiny)
