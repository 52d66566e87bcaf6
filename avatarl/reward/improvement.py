"""Improvement over the reference: a hit pays more the further the policy is ahead of it.

r(a) = 1[a = y] · (1 + w · clamp(log π_old(a) − log ref(a), low, high)). With w · low ≥ −1 a right
character never costs anything. Like confidence scaling it is convex in π: it speeds up what the
policy knows better than the reference, at the price of confidence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge
from torch import Tensor
from typing_extensions import override

from avatarl.interfaces import Hyperparameters, RewardInputs, Schedule, check_order, current, ends
from avatarl.reward import base
from avatarl.reward.reference import log_confidence


@dataclass(frozen=True)
class Config(base.Config):
    """Strength and limits of the bonus."""

    gain: Annotated[float, Ge(0)] | Schedule  # w
    low: float | Schedule  # nats behind the reference that count at most, negative
    high: float | Schedule  # nats ahead of the reference that count at most

    def __post_init__(self) -> None:
        """Refuse an empty range."""
        check_order("low", self.low, "high", self.high)

    @property
    @override
    def needs_reference(self) -> bool:
        return True

    @property
    @override
    def costs(self) -> bool:
        # Where being behind costs more than a hit pays.
        return ends(self.gain)[1] * ends(self.low)[0] < -self.least_base

    @property
    def least_base(self) -> float:
        """What a hit pays by itself, at least."""
        return 1.0

    def ahead(self, inputs: RewardInputs, other: Tensor, hparams: Hyperparameters) -> Tensor:
        """Return the bonus for being ahead of another's log-probabilities, (B,T,K)."""
        low, high = (current(getattr(self, end), hparams, end) for end in ("low", "high"))
        nats = (log_confidence(inputs) - other).clamp(low, high)
        return current(self.gain, hparams, "gain") * nats

    @override
    def rewards(self, inputs: RewardInputs, hparams: Hyperparameters) -> Tensor:
        assert inputs.ref_logprobs is not None
        return inputs.matches * (1 + self.ahead(inputs, inputs.ref_logprobs, hparams))
