"""One past self, refreshed every so many steps, or a moving average of all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Lt
from typing_extensions import override

from avatarl.opponent import base


@dataclass(frozen=True)
class Config(base.Config):
    """How old it is, and how much of it a refresh keeps."""

    every: Annotated[int, Ge(1)]  # steps between refreshes
    decay: Annotated[float, Ge(0), Lt(1)]  # kept at each; 0: a snapshot

    @property
    @override
    def members(self) -> int:
        return 1

    @property
    @override
    def refresh_every(self) -> int:
        return self.every

    @property
    @override
    def ema_decay(self) -> float:
        return self.decay
