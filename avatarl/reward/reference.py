"""Soft signal: the reference's opinion, as probability, log-probability or log-ratio."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from typing_extensions import override

from avatarl.interfaces import Hyperparameters, RewardInputs
from avatarl.reward import base

Signal = Literal["probability", "logprob", "log_ratio"]


@dataclass(frozen=True)
class Config(base.Config):
    """The reference's opinion of the tried character."""

    signal: Signal

    @property
    @override
    def needs_reference(self) -> bool:
        return True

    @property
    @override
    def costs(self) -> bool:
        return self.signal != "probability"

    @override
    def rewards(self, inputs: RewardInputs, hparams: Hyperparameters) -> Tensor:
        return soft(self.signal, inputs)


def soft(signal: Signal, inputs: RewardInputs) -> Tensor:
    """Return the reference's opinion of each action, (B,T,K), by ``signal``."""
    assert inputs.ref_logprobs is not None
    if signal == "probability":
        return inputs.ref_logprobs.exp()
    if signal == "logprob":
        return inputs.ref_logprobs
    return inputs.ref_logprobs - log_confidence(inputs)


def log_confidence(inputs: RewardInputs) -> Tensor:
    """Return log π_old of each action, finite, (B,T,K)."""
    return inputs.old_probs.clamp_min(torch.finfo(inputs.old_probs.dtype).tiny).log()
