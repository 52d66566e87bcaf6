"""A mixture of plain relative frequencies of every order, its weights tuned on unseen text.

How much a context is trusted against the shorter one depends on its length and on how often it
occurs. The weights are fitted by expectation–maximisation on a development slice: the end of the
training text, scored by counts of the rest. The counts then use all of the training text.

Source: Jelinek & Mercer 1980; Chen & Goodman 1998, §2.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from annotated_types import Ge, Gt, Le
from numpy.typing import NDArray
from typing_extensions import override

from avatarl.reference.base import CountedConfig
from avatarl.reference.counted import build_counted
from avatarl.reference.counts import Counts, check_order, count_grams
from avatarl.reference.cross_fit import totals
from avatarl.reference.smoothing import ContextFacts, Floats
from avatarl.reference.table import RowTable

BUCKETS = 16
"""Contexts seen 1, 2-3, 4-7, … times have weights of their own."""

ROUNDS = 40
"""Of expectation–maximisation; each weight is a one-dimensional concave problem."""

LEAST = 1e-3
"""No weight comes closer to 0 or 1, so that every character keeps a probability."""


@dataclass(frozen=True)
class Config(CountedConfig):
    """Settings of the mixture.

    Attributes:
        order: Longest context plus one.
        dev_fraction: Share of the training text, cut from its end, that tunes the weights.
    """

    order: Annotated[int, Ge(1), Le(12)]
    dev_fraction: Annotated[float, Gt(0), Le(0.5)]

    @override
    def build(self, train_ids: np.ndarray, vocab_size: int, device: torch.device) -> RowTable:
        check_order(self.order, len(train_ids), vocab_size)
        begin = max(1, len(train_ids) - max(1, int(self.dev_fraction * len(train_ids))))
        counts = count_grams(train_ids, vocab_size, self.order)
        smoothing = Interpolated(tune(counts, begin))
        settings = {"dev_fraction": self.dev_fraction}
        return build_counted(self, self.order, smoothing, train_ids, vocab_size, device, settings)


@dataclass(frozen=True)
class LevelWeights:
    """Weights of contexts of one length, by how often they occur; (BUCKETS,)."""

    weights: Floats

    def _weight(self, total: Floats) -> Floats:
        return self.weights[buckets(total)]

    def discounted(self, count: Floats) -> Floats:
        """See ``LevelSmoothing``."""
        return count

    def normaliser(self, facts: ContextFacts) -> Floats:
        """See ``LevelSmoothing``."""
        return facts.total / self._weight(facts.total)

    def escape(self, facts: ContextFacts) -> Floats:
        """See ``LevelSmoothing``."""
        return self.normaliser(facts) - facts.total


class Interpolated:
    """See ``Smoothing``.

    Args:
        weights: (BUCKETS,) for each context length.
    """

    continuation = False
    to_uniform = False

    def __init__(self, weights: Sequence[Floats]) -> None:
        self.weights = weights

    def level(self, length: int, counts: Floats) -> LevelWeights:
        """See ``Smoothing``."""
        return LevelWeights(self.weights[length])


def buckets(total: Floats) -> NDArray[np.int64]:
    """Number the bucket of each total: ⌊log₂⌋, at most ``BUCKETS - 1``."""
    return np.log2(np.maximum(total, 1)).astype(np.int64).clip(max=BUCKETS - 1)


def tune(counts: Counts, begin: int) -> list[Floats]:
    """Fit the weights on positions ``begin`` … N - 1, scored by the counts of the others.

    The mixture of shorter contexts doesn't depend on longer ones, so lengths are fitted in turn.

    Args:
        counts: Of the whole training text.
        begin: Where the development slice starts, at least 1.

    Returns:
        For each context length the weight (BUCKETS,) of its own relative frequencies.
    """
    end = len(counts.gram)
    rest = counts.without(begin, end)
    positions = np.arange(begin, end)
    lower = np.full(len(positions), 1.0 / counts.vocab_size)
    tuned = []
    for length, total in enumerate(totals(rest)):
        gram = counts.grams(length + 1)[positions]
        level = rest.levels[length + 1]
        inside = level.real[gram]
        seen = np.where(inside, total[level.context[gram]], 0).astype(np.float64)
        known = seen > 0
        own = np.divide(level.count[gram], seen, out=np.zeros(len(gram)), where=known)
        bucket = buckets(seen)
        size = np.bincount(bucket[known], minlength=BUCKETS)
        weight = np.full(BUCKETS, 0.5)
        for _ in range(ROUNDS):
            mixed = weight[bucket] * own
            share = mixed / (mixed + (1 - weight[bucket]) * lower)
            sums = np.bincount(bucket[known], weights=share[known], minlength=BUCKETS)
            weight = np.divide(sums, size, out=weight.copy(), where=size > 0)
            weight = weight.clip(LEAST, 1 - LEAST)
        # A bucket that the slice never met is trusted like the next rarer one.
        for number in range(1, BUCKETS):
            if not size[number]:
                weight[number] = weight[number - 1]
        tuned.append(weight)
        lower = np.where(known, weight[bucket] * own + (1 - weight[bucket]) * lower, lower)
    return tuned
