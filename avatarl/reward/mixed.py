"""Hard and soft signal together: hard_weight · 1[a = y] + soft_weight · reference(a)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge
from torch import Tensor
from typing_extensions import override

from avatarl.interfaces import Hyperparameters, RewardInputs, Schedule, current, is_on
from avatarl.reward import base
from avatarl.reward.reference import Signal, soft


@dataclass(frozen=True)
class Config(base.Config):
    """Weights of the two signals."""

    hard_weight: Annotated[float, Ge(0)] | Schedule
    soft_weight: Annotated[float, Ge(0)] | Schedule
    signal: Signal

    @property
    @override
    def needs_reference(self) -> bool:
        return is_on(self.soft_weight)

    @property
    @override
    def costs(self) -> bool:
        return is_on(self.soft_weight) and self.signal != "probability"

    @override
    def rewards(self, inputs: RewardInputs, hparams: Hyperparameters) -> Tensor:
        hard = current(self.hard_weight, hparams, "hard_weight") * inputs.matches
        if inputs.ref_logprobs is None:
            return hard
        # A schedule of the reference weighs its share here as it weighs the KL term: handed over
        # to the truth, the text alone judges.
        weight = current(self.soft_weight, hparams, "soft_weight") * hparams["reference_factor"]
        return hard + weight * soft(self.signal, inputs)
