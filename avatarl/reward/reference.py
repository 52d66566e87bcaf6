"""Soft signal: the reference's opinion, as probability, log-probability or log-ratio."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from avatarl.interfaces import Knobs, Outcome
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

    @property
    def costs(self) -> bool:
        """Where log-probabilities count."""
        return self.signal != "probability"


def soft(signal: Signal, outcome: Outcome) -> Tensor:
    """Return the reference's opinion of each action, (B,T,K), by ``signal``."""
    assert outcome.ref_logprobs is not None
    if signal == "probability":
        return outcome.ref_logprobs.exp()
    if signal == "logprob":
        return outcome.ref_logprobs
    return outcome.ref_logprobs - log_confidence(outcome)


def log_confidence(outcome: Outcome) -> Tensor:
    """Return log π_old of each action, finite, (B,T,K)."""
    return outcome.old_probs.clamp_min(torch.finfo(outcome.old_probs.dtype).tiny).log()


def build(config: Config, text: base.Text) -> base.Reward:
    """Make the reward."""

    def rewards(outcome: Outcome, knobs: Knobs) -> Tensor:
        return soft(config.signal, outcome)

    return rewards
