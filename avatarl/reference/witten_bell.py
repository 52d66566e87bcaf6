"""Witten–Bell: a context escapes in proportion to how many different characters follow it.

Source: Chen & Goodman 1998, §2.6; Witten & Bell 1991, method C.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from annotated_types import Ge, Le
from typing_extensions import override

from avatarl.reference.base import CountedConfig
from avatarl.reference.counted import build_counted
from avatarl.reference.smoothing import ContextFacts, Floats
from avatarl.reference.table import RowTable


@dataclass(frozen=True)
class Config(CountedConfig):
    """Settings of Witten–Bell.

    Attributes:
        order: Longest context plus one.
    """

    order: Annotated[int, Ge(1), Le(12)]

    @override
    def build(self, train_ids: np.ndarray, vocab_size: int, device: torch.device) -> RowTable:
        return build_counted(self, self.order, WittenBell(), train_ids, vocab_size, device)


class WittenBell:
    """See ``Smoothing``; the rule is the same at every level."""

    continuation = False
    to_uniform = False

    def level(self, length: int, counts: Floats) -> WittenBell:
        """See ``Smoothing``."""
        return self

    def discounted(self, count: Floats) -> Floats:
        """See ``LevelSmoothing``."""
        return count

    def normaliser(self, facts: ContextFacts) -> Floats:
        """See ``LevelSmoothing``."""
        return facts.total + self.escape(facts)

    def escape(self, facts: ContextFacts) -> Floats:
        """Count the distinct next characters."""
        return facts.singles + facts.doubles + facts.more
