"""``confidence_scaled`` whose base reward is −log ref(a): what the reference doubts pays."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from typing_extensions import override

from avatarl.interfaces import Hyperparameters, RewardInputs
from avatarl.reward import confidence_scaled


@dataclass(frozen=True)
class Config(confidence_scaled.Config):
    """As of ``confidence_scaled``."""

    @property
    @override
    def needs_reference(self) -> bool:
        return True

    @override
    def rewards(self, inputs: RewardInputs, hparams: Hyperparameters) -> Tensor:
        assert inputs.ref_logprobs is not None
        return super().rewards(inputs, hparams) - inputs.ref_logprobs
