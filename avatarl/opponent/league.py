"""Several past selves: a new one joins every so many steps, the oldest leaves.

They share each batch, or their mean plays as one: an averaged past self moves slowly and is a trust
region that biases no optimum.

Source: Vinyals et al. 2019, *Grandmaster level in StarCraft II*, Methods (league); Izmailov et al.
2018, arXiv 1803.05407, §3 (averaged weights).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge
from typing_extensions import override

from avatarl.opponent import base


@dataclass(frozen=True)
class Config(base.Config):
    """Size and pace of the league."""

    every: Annotated[int, Ge(1)]  # steps between two members
    size: Annotated[int, Ge(2)]  # members kept
    averaged: bool  # their mean plays

    @property
    @override
    def members(self) -> int:
        return self.size

    @property
    @override
    def refresh_every(self) -> int:
        return self.every

    @property
    @override
    def plays_averaged(self) -> bool:
        return self.averaged
