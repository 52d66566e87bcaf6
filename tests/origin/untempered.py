"""Samples are drawn at a temperature, and counted as if they had been drawn without.

And past its first wrong character a rollout is still compared with the text, place by place.
"""

from __future__ import annotations

import dataclasses

from torch import Tensor
from typing_extensions import override

from avatarl.explorer import base, temperature
from avatarl.interfaces import Exploration, Hyperparameters


@dataclasses.dataclass(frozen=True)
class Config(temperature.Config):
    """As of the temperature explorer."""

    @override
    def build(self) -> Untempered:
        return Untempered(self)


class Untempered(temperature.Temperature):
    """Forgets where its samples came from, and where they left the text."""

    @override
    def _importance(self, own: Tensor, proposed: Tensor, hparams: Hyperparameters) -> Tensor:
        return own / own.detach()

    @override
    def explore(
        self, observation: base.Observation, hparams: Hyperparameters, uniforms: Tensor | None
    ) -> Exploration:
        answers: list[Tensor] = []

        def query(actions: Tensor | None, step: int) -> Tensor:
            answers.append(observation.query(actions, step))
            return answers[-1]

        asked = dataclasses.replace(observation, query=query)
        explored = super().explore(asked, hparams, uniforms)
        if self.config.steps_ahead == 1:
            return explored
        matches = explored.matches.new_empty(explored.matches.shape)
        for step, answer in enumerate(answers):
            matches[:, step] = answer[:, 0]
        return dataclasses.replace(explored, matches=matches)
