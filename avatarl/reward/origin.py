"""The published origin reward, taken literally: a negative control, not a recommendation.

r(a) = −scale·log ref(a) + clamp(log π_old(a) − log ref(a), low, high) + bonus·scale·1[a = y], the
hit's total times clamp(1 + w·π_old(a), 1, scale_max), minus penalty·π_old(a) for wrong characters
held above the threshold; at last the mean over all V actions is subtracted.

Its first term pays for characters that the reference finds *unlikely*: with 3 nats of surprise to
a scale of 3, a rare wrong character out-earns the right one, which is the best paid at a minority
of positions. The subtracted uniform mean makes the logged mean reward 0, whatever is learned.
Where only sampled actions are seen, the mean is taken over those.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Le
from torch import Tensor
from typing_extensions import override

from avatarl.interfaces import Hyperparameters, RewardInputs, Schedule, current
from avatarl.reward import base
from avatarl.reward.confidence_scaled import overconfidence
from avatarl.reward.reference import log_confidence


@dataclass(frozen=True)
class Config(base.Config):
    """The origin's constants."""

    scale: Annotated[float, Ge(0)]
    bonus: Annotated[float, Ge(0)]
    low: float
    high: float
    confidence_weight: float
    scale_max: Annotated[float, Ge(1)]
    penalty: Annotated[float, Ge(0)] | Schedule
    penalty_threshold: Annotated[float, Ge(0), Le(1)]

    @property
    @override
    def needs_reference(self) -> bool:
        return True

    @property
    @override
    def costs(self) -> bool:
        return True  # half of the actions, since the mean is subtracted

    @override
    def rewards(self, inputs: RewardInputs, hparams: Hyperparameters) -> Tensor:
        assert inputs.ref_logprobs is not None
        surprise = -inputs.ref_logprobs
        ahead = (log_confidence(inputs) + surprise).clamp(hparams["low"], hparams["high"])
        plain = hparams["scale"] * (surprise + hparams["bonus"] * inputs.matches) + ahead
        confident = 1 + hparams["confidence_weight"] * inputs.old_probs
        factor = 1 + inputs.matches * (confident.clamp_min(1).minimum(hparams["scale_max"]) - 1)
        held = overconfidence(inputs, hparams["penalty_threshold"])
        total = plain * factor - current(self.penalty, hparams, "penalty") * held
        return total - total.mean(dim=-1, keepdim=True)
