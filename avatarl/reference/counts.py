"""Count every n-gram of a text up to one order, in one sort.

Grams are kept with the latest character first: gram (w, c₋₁, c₋₂, …) stands for the string
"… c₋₂ c₋₁ w". Sorted that way, all grams that share their last d characters are neighbours at every
d, so one sort of the longest grams yields the distinct grams of every length, their counts, and the
number of distinct characters before each (the continuation counts of Kneser–Ney).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from avatarl.errors import ConfigError

Ints = NDArray[np.int32]
Longs = NDArray[np.int64]

KEY_LIMIT = 2**63 - 1
"""Sort keys are signed 64-bit integers."""


@dataclass(frozen=True)
class Level:
    """The distinct grams of one length d, sorted latest character first; U of them.

    The few grams that would reach beyond the start of the text are kept as place holders
    (``real`` is false): they carry the counts of their shorter endings.

    Attributes:
        count: (U,) int64, occurrences.
        continuation: (U,) int64, distinct characters seen before it, the text's start being one;
            at the highest level the counts themselves.
        parent: (U,) int32, the gram of length d - 1 without the oldest character.
        context: (U,) int32, the gram of length d - 1 without the latest character.
        latest: (U,) int32, the latest character (the one that is predicted).
        oldest: (U,) int32, the oldest character.
        first: (U,) int32, the first gram of length d + 1 that ends in it; empty at the top.
        real: (U,) bool.
    """

    count: Longs
    continuation: Longs
    parent: Ints
    context: Ints
    latest: Ints
    oldest: Ints
    first: Ints
    real: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.count)


@dataclass(frozen=True)
class Counts:
    """The grams of a text up to ``order``.

    Attributes:
        levels: Index d holds the grams of length d; index 0 one empty gram.
        gram: (N,) int32, at each position the gram of length ``order`` that ends there.
        vocab_size: V.
    """

    levels: tuple[Level, ...]
    gram: Ints
    vocab_size: int

    @property
    def order(self) -> int:
        """Length of the longest grams."""
        return len(self.levels) - 1

    def grams(self, length: int) -> Ints:
        """Give, at each position, the gram of ``length`` that ends there → (N,) int32."""
        gram = self.gram
        for level in self.levels[:length:-1]:
            gram = level.parent[gram]
        return gram

    def without(self, begin: int, end: int) -> Counts:
        """Count again as if nothing had been predicted at positions ``begin`` … ``end - 1``.

        The grams keep their numbers; those seen nowhere else get count 0. No sort is needed.
        """
        top = self.levels[-1]
        count = top.count - np.bincount(self.gram[begin:end], minlength=len(top))
        levels = [replace(top, count=count, continuation=count)]
        for level in self.levels[-2::-1]:
            # Neighbours above share their ending, so sums over runs are sums over extensions.
            seen = (levels[0].count > 0).astype(np.int64)
            level = replace(
                level,
                count=np.add.reduceat(levels[0].count, level.first),
                continuation=np.add.reduceat(seen, level.first),
            )
            levels.insert(0, level)
        return replace(self, levels=tuple(levels))


def longest_key(vocab_size: int) -> int:
    """Count the characters that fit into one sort key."""
    length, limit = 0, KEY_LIMIT
    while limit >= vocab_size + 1:
        limit //= vocab_size + 1
        length += 1
    return length


def check_order(order: int, length: int, vocab_size: int) -> None:
    """Refuse an order that the text or the sort key has no room for.

    Args:
        order: Longest gram.
        length: N, characters of text.
        vocab_size: V.

    Raises:
        ConfigError: The order is below 1, above N, or its keys would overflow 64 bits.
    """
    if not 1 <= order <= length:
        raise ConfigError("reference.order", order, f"1 to {length:,}", "the length of the text")
    packed = min(order, longest_key(vocab_size))
    ranks = min(length, (vocab_size + 1) ** packed)
    highest = packed
    limit = KEY_LIMIT // ranks
    while highest < order and limit >= vocab_size + 1:
        limit //= vocab_size + 1
        highest += 1
    if highest < order:
        raise ConfigError(
            "reference.order",
            order,
            f"1 to {highest}",
            f"contexts over {vocab_size:,} characters would overflow a 64-bit code",
        )


def count_grams(ids: NDArray[np.integer], vocab_size: int, order: int) -> Counts:
    """Count the grams of length 1 … ``order``.

    Args:
        ids: (N,) integers in [0, V).
        vocab_size: V.
        order: Longest gram.

    Raises:
        ConfigError: See ``check_order``.
    """
    check_order(order, len(ids), vocab_size)
    base = vocab_size + 1
    digits = ids.astype(np.int64) + 1  # 0 stands for "before the text"
    packed = min(order, longest_key(vocab_size))
    key = _keys(digits, base, 0, packed)
    short_keys: Longs | None = None
    if packed < order:
        # Too long for one key: the rank of the recent part, then the older characters.
        short_keys, rank = np.unique(key, return_inverse=True)
        key = rank * base ** (order - packed) + _keys(digits, base, packed, order)
    positions = np.argsort(key)
    key = key[positions]
    fresh = np.empty(len(key), dtype=bool)
    fresh[0] = True
    np.not_equal(key[1:], key[:-1], out=fresh[1:])
    starts = np.flatnonzero(fresh)
    gram = np.empty(len(key), dtype=np.int32)
    gram[positions] = np.cumsum(fresh, dtype=np.int32) - 1
    count = np.diff(starts, append=len(key))
    example = positions[starts]  # one position where each gram ends
    code = key[starts]
    del key, positions, fresh, starts

    # From the longest grams down: cutting the oldest character merges neighbours.
    levels: list[Level] = []
    continuation = count
    first = np.empty(0, dtype=np.int32)
    at_position = gram  # (N,) grams of the current length
    for length in range(order, 0, -1):
        shorter = code // base
        oldest = (code - shorter * base - 1).astype(np.int32)
        if length - 1 == packed and short_keys is not None:
            shorter = short_keys[shorter]
        begins = np.empty(len(code), dtype=bool)
        begins[0] = True
        np.not_equal(shorter[1:], shorter[:-1], out=begins[1:])
        parent = np.cumsum(begins, dtype=np.int32) - 1
        below = parent[at_position]
        real = example >= length - 1
        context = np.where(real & (example > 0), below[example - 1], 0)
        levels.insert(
            0,
            Level(
                count=count,
                continuation=continuation,
                parent=parent,
                context=context.astype(np.int32),
                latest=ids[example].astype(np.int32),
                oldest=oldest,
                first=first,
                real=real,
            ),
        )
        runs = np.flatnonzero(begins)
        continuation = np.diff(runs, append=len(code))
        count = np.add.reduceat(count, runs)
        first = runs.astype(np.int32)
        code, example, at_position = shorter[runs], example[runs], below
    none = np.zeros(1, dtype=np.int32)
    root = Level(count, continuation, none, none, none, none, first, np.ones(1, dtype=bool))
    return Counts((root, *levels), gram, vocab_size)


def _keys(digits: Longs, base: int, begin: int, end: int) -> Longs:
    """Pack the characters ``begin`` … ``end - 1`` back from each position, latest first."""
    key = np.zeros(len(digits), dtype=np.int64)
    for back in range(begin, end):
        key *= base
        if back < len(digits):
            key[back:] += digits[: len(digits) - back]
    return key
