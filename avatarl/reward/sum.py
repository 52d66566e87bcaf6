"""A weighted sum of rewards, each with its own settings, weight and schedule.

Components are added, changed and left out on the command line::

    avatarl run reward=sum reward.components.match.weight=2
    avatarl run reward=sum +reward@reward.components.opponent=opponent opponent=past
    avatarl run reward=sum '~reward.components.reference'
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from typing_extensions import override

from avatarl.errors import ConfigError
from avatarl.interfaces import Hyperparameters, RewardInputs, scoped
from avatarl.reward import base


@dataclass(frozen=True)
class Config(base.Config):
    """The summands, by any name."""

    components: dict[str, base.Config]

    def __post_init__(self) -> None:
        """Refuse an empty sum, which would teach nothing."""
        if not self.components:
            raise ConfigError("components", {}, "at least one reward")

    @property
    @override
    def needs_reference(self) -> bool:
        return any(part.needs_reference for part in self.components.values())

    @property
    @override
    def needs_opponent(self) -> bool:
        return any(part.needs_opponent for part in self.components.values())

    @property
    @override
    def reads_text(self) -> bool:
        return any(part.reads_text for part in self.components.values())

    @property
    @override
    def costs(self) -> bool:
        return any(part.may_be_negative for part in self.components.values())

    @override
    def prepare(self, text: base.Text) -> base.Reward:
        parts = {name: part.build(text) for name, part in self.components.items()}

        def rewards(inputs: RewardInputs, hparams: Hyperparameters) -> Tensor:
            values = [
                part(inputs, scoped(hparams, f"components.{name}")) for name, part in parts.items()
            ]
            return sum(values[1:], values[0])

        return rewards
