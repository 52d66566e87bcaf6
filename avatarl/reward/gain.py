"""Gain: a hit pays more the further the policy is ahead of an average of its own past.

r(a) = 1[a = y] · (base + w · clamp(log π_old(a) − log π_past(a), low, high)). As soon as the past
has caught up, a hit pays ``base`` alone; with 0 only progress is paid, which needs another reward
beside it (``reward=sum``) to begin with. The average is ``opponent=past`` with a decay; the longer
its memory and the larger w, the more the policy overshoots before the past catches up.

Source: after Hatamizadeh et al. 2025, arXiv 2510.01265 (log-likelihood gain over a moving average).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge
from torch import Tensor
from typing_extensions import override

from avatarl.interfaces import Hyperparameters, RewardInputs, Schedule, current, ends
from avatarl.reward import improvement


@dataclass(frozen=True)
class Config(improvement.Config):
    """As for ``improvement``, and what a hit pays by itself."""

    base: Annotated[float, Ge(0)] | Schedule

    @property
    @override
    def needs_reference(self) -> bool:
        return False

    @property
    @override
    def needs_opponent(self) -> bool:
        return True

    @property
    @override
    def least_base(self) -> float:
        return ends(self.base)[0]

    @override
    def rewards(self, inputs: RewardInputs, hparams: Hyperparameters) -> Tensor:
        assert inputs.past_logprobs is not None
        ahead = self.ahead(inputs, inputs.past_logprobs, hparams)
        return inputs.matches * (current(self.base, hparams, "base") + ahead)
