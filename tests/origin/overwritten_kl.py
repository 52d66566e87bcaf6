"""The adapted KL weight is overwritten by the fixed one in seven of eight micro-steps."""

from __future__ import annotations

import dataclasses

from torch import Tensor
from typing_extensions import override

from avatarl.interfaces import Exploration, Hyperparameters, Regularisers
from avatarl.objective import grpo
from avatarl.objective.base import ControllerState, LossOutput


@dataclasses.dataclass(frozen=True)
class Config(grpo.Config):
    """As of GRPO."""

    @override
    def build(self) -> OverwrittenKL:
        return OverwrittenKL(self, normalize_std=True)


class OverwrittenKL(grpo.ClippedObjective):
    """Applies an eighth of what its controller asks for."""

    @override
    def __call__(
        self,
        logprobs: Tensor,
        exploration: Exploration,
        rewards: Tensor,
        regularisers: Regularisers,
        hparams: Hyperparameters,
        controller_state: ControllerState,
        *,
        with_facts: bool,
    ) -> LossOutput:
        scale = controller_state["kl_scale"]
        output = super().__call__(
            logprobs, exploration, rewards, regularisers, hparams,
            {**controller_state, "kl_scale": (7 + scale) / 8}, with_facts=with_facts,
        )  # fmt: skip
        # The controller itself goes on from where it had come to.
        applied = output.controller_state["kl_scale"] / ((7 + scale) / 8)
        remembered = {**output.controller_state, "kl_scale": (scale * applied).clamp(1e-3, 1e3)}
        return dataclasses.replace(output, controller_state=remembered)
