"""Soft signal: n-gram statistics of the training text judge.

``probability`` is bounded and pays for common characters; ``logprob`` punishes rare ones without
bound; ``log_ratio`` (log reference − log old policy) has the reference itself as its optimum.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from avatarl.game import Knobs, Outcome
from avatarl.reward import base

Signal = Literal["probability", "logprob", "log_ratio"]


@dataclass(frozen=True)
class Config(base.Config):
    """The reference's opinion of the tried character."""

    signal: Signal

    @property
    def needs_reference(self) -> bool:
        """Always."""
        return True


def soft(signal: Signal, outcome: Outcome) -> Tensor:
    """Return the reference's opinion of each action, (B,T,K), by ``signal``."""
    assert outcome.ref_logprobs is not None
    if signal == "probability":
        return outcome.ref_logprobs.exp()
    if signal == "logprob":
        return outcome.ref_logprobs
    tiny = torch.finfo(outcome.old_probs.dtype).tiny
    return outcome.ref_logprobs - outcome.old_probs.clamp_min(tiny).log()


def build(config: Config) -> base.Reward:
    """Make the reward."""

    def rewards(outcome: Outcome, knobs: Knobs) -> Tensor:
        return soft(config.signal, outcome)

    return rewards
