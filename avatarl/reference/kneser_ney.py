"""Interpolated modified Kneser–Ney: the strongest smoothing of plain counts.

Source: Chen & Goodman 1998, §3 (equations 25-27).
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

FALLBACK_DISCOUNTS = (0.5, 1.0, 1.5)
"""Used where the counts of counts allow no estimate (tiny or very regular texts)."""


@dataclass(frozen=True)
class Config(CountedConfig):
    """Settings of Kneser–Ney.

    Attributes:
        order: Longest context plus one.
    """

    order: Annotated[int, Ge(1), Le(12)]

    @override
    def build(self, train_ids: np.ndarray, vocab_size: int, device: torch.device) -> RowTable:
        return build_counted(self, self.order, KneserNey(), train_ids, vocab_size, device)


@dataclass(frozen=True)
class Discounts:
    """What is taken off counts of 1, of 2, and of 3 or more."""

    one: float
    two: float
    more: float

    def discounted(self, count: Floats) -> Floats:
        """See ``LevelSmoothing``."""
        off = np.where(count == 1, self.one, np.where(count == 2, self.two, self.more))
        return np.where(count > 0, count - off, 0.0)

    def normaliser(self, facts: ContextFacts) -> Floats:
        """See ``LevelSmoothing``."""
        return facts.total

    def escape(self, facts: ContextFacts) -> Floats:
        """See ``LevelSmoothing``."""
        return self.one * facts.singles + self.two * facts.doubles + self.more * facts.more


class KneserNey:
    """See ``Smoothing``."""

    continuation = True
    to_uniform = False

    def level(self, length: int, counts: Floats) -> Discounts:
        """Estimate the level's discounts from how many grams occur 1 to 4 times."""
        return modified_discounts([int((counts == times).sum()) for times in (1, 2, 3, 4)])


def modified_discounts(counts_of_counts: list[int]) -> Discounts:
    """Estimate the three discounts.

    Args:
        counts_of_counts: How many grams occur 1, 2, 3 and 4 times.

    Returns:
        The estimate, or ``FALLBACK_DISCOUNTS`` where it doesn't exist or isn't a discount.
    """
    n1, n2, n3, n4 = counts_of_counts
    if min(n1, n2, n3, n4) > 0:
        share = n1 / (n1 + 2 * n2)
        one = 1 - 2 * share * n2 / n1
        two = 2 - 3 * share * n3 / n2
        more = 3 - 4 * share * n4 / n3
        if 0 <= one <= 1 and 0 <= two <= 2 and 0 <= more <= 3:
            return Discounts(one, two, more)
    return Discounts(*FALLBACK_DISCOUNTS)
