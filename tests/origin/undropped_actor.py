"""Dropout in the policy that is trained, none in the one that it is compared with."""

from __future__ import annotations

import dataclasses

from torch import Tensor
from typing_extensions import override

from avatarl.interfaces import Exploration, Hyperparameters
from avatarl.objective import grpo


@dataclasses.dataclass(frozen=True)
class Config(grpo.Config):
    """As of GRPO."""

    @override
    def build(self) -> UndroppedActor:
        return UndroppedActor(self, normalize_std=True)


class UndroppedActor(grpo.ClippedObjective):
    """Its ratio isn't 1 before any update."""

    @override
    def policy_loss(
        self,
        logprobs: Tensor,
        exploration: Exploration,
        rewards: Tensor,
        hparams: Hyperparameters,
        facts: dict[str, Tensor] | None,
    ) -> Tensor:
        apart = dataclasses.replace(exploration, dropped_logprobs=None)
        return super().policy_loss(logprobs, apart, rewards, hparams, facts)
