"""K characters a position, sampled at one temperature, optionally guided by the reference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le
from torch import Tensor
from typing_extensions import override

from avatarl.errors import ConfigError
from avatarl.explorer import sampling
from avatarl.interfaces import Hyperparameters, Schedule, is_on
from avatarl.options import Later


@dataclass(frozen=True)
class RolloutConfig(sampling.Config):
    """What explorers that can roll out have."""

    guidance: Annotated[float, Ge(0), Le(1)] | Schedule  # share drawn from the reference
    horizon: Annotated[int, Ge(1)]  # characters each rollout writes
    discount: Annotated[float, Ge(0), Le(1)] | Schedule  # γ, of later rewards within a rollout
    # From each step on, or γ^t more: from the start.
    discounting: Annotated[Literal["step", "start"], Later("step")]

    def __post_init__(self) -> None:
        """Refuse rollouts that would start at every position of a window."""
        if self.horizon > 1 and self.positions == "all":
            raise ConfigError(
                "positions", "all", "last", f"rollouts of horizon {self.horizon} start at the end"
            )
        if self.horizon > 1 and self.select != "all":
            raise ConfigError(
                "select", self.select, "all", f"rollouts of horizon {self.horizon} count every step"
            )

    @property
    @override
    def steps_ahead(self) -> int:
        return self.horizon

    @property
    @override
    def discounts_from_start(self) -> bool:
        return self.discounting == "start"

    @property
    @override
    def needs_reference(self) -> bool:
        return is_on(self.guidance)


@dataclass(frozen=True)
class Config(RolloutConfig):
    """One temperature for all samples."""

    temperature: Annotated[float, Gt(0)] | Schedule

    @override
    def build(self) -> Temperature:
        return Temperature(self)


class Temperature(sampling.Sampling):
    """μ = (1 − g) · softmax(log π_old / τ) + g · ref."""

    @override
    def proposals(
        self, old_logprobs: Tensor, guide: Tensor | None, hparams: Hyperparameters
    ) -> Tensor:
        tempered = (old_logprobs / self.now("temperature", hparams)).softmax(dim=-1)
        return sampling.mix(tempered, guide, self.now("guidance", hparams))
