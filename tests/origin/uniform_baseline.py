"""Every action counts alike, less the group's mean: linear in the logits, without an optimum."""

from __future__ import annotations

from dataclasses import dataclass

from typing_extensions import override

from avatarl.objective import grpo


@dataclass(frozen=True)
class Config(grpo.Config):
    """As of GRPO, but nothing is refused."""

    @property
    @override
    def uses_baseline(self) -> bool:
        return False  # which is not true

    @property
    @override
    def needs_policy_weights(self) -> bool:
        return False
