"""A swarm of temperatures: each of the K samples of a position has its own.

Cold samples repeat what the policy believes, hot ones look elsewhere. The temperatures lie evenly
on a logarithmic scale from ``temperature_min`` to ``temperature_max``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Gt
from torch import Tensor
from typing_extensions import override

from avatarl.errors import ConfigError
from avatarl.explorer import sampling
from avatarl.explorer.temperature import RolloutConfig
from avatarl.interfaces import Hyperparameters, Schedule, check_order


@dataclass(frozen=True)
class Config(RolloutConfig):
    """The range of temperatures."""

    temperature_min: Annotated[float, Gt(0)] | Schedule
    temperature_max: Annotated[float, Gt(0)] | Schedule

    def __post_init__(self) -> None:
        """Refuse an empty range, and a swarm of one."""
        super().__post_init__()
        check_order(
            "temperature_min", self.temperature_min, "temperature_max", self.temperature_max
        )
        if self.samples < 2:
            raise ConfigError("samples", self.samples, "2 or more", "a swarm has several members")

    @property
    @override
    def weighs_samples_together(self) -> bool:
        return self.horizon == 1  # rollouts have contexts of their own

    @override
    def build(self) -> Swarm:
        return Swarm(self)


class Swarm(sampling.Sampling):
    """μ_k = (1 − g) · softmax(log π_old / τ_k) + g · ref."""

    @override
    def proposals(
        self, old_logprobs: Tensor, guide: Tensor | None, hparams: Hyperparameters
    ) -> Tensor:
        steps = torch.linspace(0, 1, self.config.samples, device=old_logprobs.device)  # (K,)
        coldest = self.now("temperature_min", hparams)
        temperatures = coldest * (self.now("temperature_max", hparams) / coldest) ** steps
        tempered = (old_logprobs / temperatures.unsqueeze(-1)).softmax(dim=-1)  # (…,K,V)
        return sampling.mix(tempered, guide, self.now("guidance", hparams))
