"""Hard signal: the text alone judges."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from typing_extensions import override

from avatarl.interfaces import Hyperparameters, RewardInputs
from avatarl.reward import base


@dataclass(frozen=True)
class Config(base.Config):
    """One for the text's character, zero for every other."""

    @override
    def rewards(self, inputs: RewardInputs, hparams: Hyperparameters) -> Tensor:
        return inputs.matches
