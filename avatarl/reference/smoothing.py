"""How counts become probabilities, level by level.

Every smoothing here has one form. With h a context, h' the same without its oldest character:

    P(w | h) = discounted(c(h, w)) / normaliser(h)  +  escape(h) / normaliser(h) · P(w | h')

and its rows sum to one because discounted counts and escape add up to the normaliser.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from avatarl.reference.counts import Counts, Level

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ContextFacts:
    """What the smoothings look at in a context; each (U,) float64.

    Attributes:
        total: Sum of the counts of its next characters.
        singles: How many distinct next characters have count 1.
        doubles: … have count 2.
        more: … have count 3 or more.
    """

    total: Floats
    singles: Floats
    doubles: Floats
    more: Floats

    def without(self, count: Floats) -> ContextFacts:
        """Take one occurrence of a next character away that has been seen ``count`` times."""
        one, two, three = count == 1, count == 2, count == 3
        return ContextFacts(
            self.total - 1, self.singles - one + two, self.doubles - two + three, self.more - three
        )

    def at(self, index: NDArray[np.integer]) -> ContextFacts:
        """Pick contexts."""
        return ContextFacts(
            self.total[index], self.singles[index], self.doubles[index], self.more[index]
        )


class LevelSmoothing(Protocol):
    """The rule for contexts of one length."""

    def discounted(self, count: Floats) -> Floats:
        """What is left of each count."""
        ...

    def normaliser(self, facts: ContextFacts) -> Floats:
        """What the discounted counts and the escape add up to; 0 only for unseen contexts."""
        ...

    def escape(self, facts: ContextFacts) -> Floats:
        """How much is handed to the shorter context."""
        ...


class Smoothing(Protocol):
    """A rule for every level.

    Attributes:
        continuation: Below the longest context, count distinct preceding characters instead of
            occurrences.
        to_uniform: Hand the escape to the uniform distribution, not to the shorter context.
    """

    continuation: bool
    to_uniform: bool

    def level(self, length: int, counts: Floats) -> LevelSmoothing:
        """Give the rule for contexts of ``length``, whose grams have these positive counts."""
        ...


@dataclass(frozen=True)
class Sparse:
    """One level's probabilities before the shorter context is mixed in.

    Attributes:
        rule: The level's smoothing.
        count: (G,) float64, counts of the grams (context, next character); 0 where there is none.
        facts: Of each of the U contexts.
        value: (G,) float32, share of the gram's character.
        backoff: (U,) float32, share of the shorter context; 1 where the context is unseen.
    """

    rule: LevelSmoothing
    count: Floats
    facts: ContextFacts
    value: NDArray[np.float32]
    backoff: NDArray[np.float32]


def gram_counts(level: Level, continuation: bool) -> Floats:
    """Give the counts (G,) that a distribution is made of; 0 for place holders."""
    return np.where(level.real, level.continuation if continuation else level.count, 0).astype(
        np.float64
    )


def context_facts(level: Level, count: Floats, contexts: int) -> ContextFacts:
    """Sum the counts (G,) of ``level`` over its contexts, ``contexts`` of them."""

    def where(mask: NDArray[np.bool_]) -> Floats:
        return np.bincount(level.context[mask], minlength=contexts).astype(np.float64)

    return ContextFacts(
        np.bincount(level.context, weights=count, minlength=contexts).astype(np.float64),
        where(count == 1),
        where(count == 2),
        where(count >= 3),
    )


def smooth_level(counts: Counts, smoothing: Smoothing, length: int, continuation: bool) -> Sparse:
    """Smooth the distributions after contexts of ``length``.

    Args:
        counts: Grams up to at least ``length + 1``.
        smoothing: The rule.
        length: Of the contexts.
        continuation: Whether to use continuation counts.
    """
    level = counts.levels[length + 1]
    count = gram_counts(level, continuation)
    facts = context_facts(level, count, len(counts.levels[length]))
    rule = smoothing.level(length, count[count > 0])
    normaliser, escape = rule.normaliser(facts), rule.escape(facts)
    seen = normaliser > 0
    inverse = np.divide(1.0, normaliser, out=np.zeros_like(normaliser), where=seen)
    value = np.where(count > 0, rule.discounted(count), 0.0) * inverse[level.context]
    backoff = np.where(seen, escape * inverse, 1.0)
    return Sparse(rule, count, facts, value.astype(np.float32), backoff.astype(np.float32))
