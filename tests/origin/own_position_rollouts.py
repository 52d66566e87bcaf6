"""``own_position`` for sampled rollouts: step t is compared with the text's character at t − 1."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from typing_extensions import override

from avatarl.explorer import base, temperature
from avatarl.interfaces import Exploration, Hyperparameters
from tests.origin.own_position import shifted


@dataclass(frozen=True)
class Config(temperature.Config):
    """As of the temperature explorer."""

    @override
    def build(self) -> OwnPositionRollouts:
        return OwnPositionRollouts(self)


class OwnPositionRollouts(temperature.Temperature):
    """Asks one character too early."""

    @override
    def explore(
        self, observation: base.Observation, hparams: Hyperparameters, uniforms: Tensor | None
    ) -> Exploration:
        return super().explore(shifted(observation, 1, 0), hparams, uniforms)
