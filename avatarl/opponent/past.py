"""One past self, refreshed every so many steps, or a moving average of all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Lt

from avatarl.opponent import base


@dataclass(frozen=True)
class Config(base.Config):
    """How old it is, and how much of it a refresh keeps."""

    every: Annotated[int, Ge(1)]  # steps between refreshes
    decay: Annotated[float, Ge(0), Lt(1)]  # kept at each; 0: a snapshot

    @property
    def members(self) -> int:
        """One."""
        return 1

    @property
    def refresh_every(self) -> int:
        """As configured."""
        return self.every

    @property
    def ema_decay(self) -> float:
        """As configured."""
        return self.decay
