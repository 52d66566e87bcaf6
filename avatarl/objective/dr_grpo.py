"""GRPO without the division by the group's std, so that the size of a reward keeps its meaning.

Source: Liu et al. 2025, arXiv 2503.20783, §3.
"""

from __future__ import annotations

from dataclasses import dataclass

from typing_extensions import override

from avatarl.objective.grpo import Clipped, ClippedObjective


@dataclass(frozen=True)
class Config(Clipped):
    """The clipped, KL-regularised objective on centred rewards."""

    @override
    def build(self) -> ClippedObjective:
        return ClippedObjective(self, normalize_std=False)
