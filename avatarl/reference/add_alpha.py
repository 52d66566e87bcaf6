"""Add-α smoothing: every next character gets α more counts than it has.

Source: Chen & Goodman 1998, §2.1 (additive smoothing).
"""

from __future__ import annotations

import itertools
import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from annotated_types import Ge, Gt
from torch import Tensor
from typing_extensions import override

from avatarl.reference import cross_fit
from avatarl.reference.base import CountedConfig, Reliability
from avatarl.reference.counted import build_counted
from avatarl.reference.counts import check_order
from avatarl.reference.free_memory import require_memory
from avatarl.reference.smoothing import ContextFacts, Floats
from avatarl.reference.store import fingerprint
from avatarl.reference.table import RowTable, Tabulated

MAX_DENSE_BYTES = 2**28
"""A table of every possible context may take 256 MiB; beyond, only contexts that occur get rows."""

_PART = 2**18  # characters counted at a time


@dataclass(frozen=True)
class Config(CountedConfig):
    """Settings of add-α.

    Attributes:
        order: Longest context plus one; 1 looks at no context.
        alpha: What is added to each count.
    """

    order: Annotated[int, Ge(1)]
    alpha: Annotated[float, Gt(0)]

    @override
    def build(
        self, train_ids: np.ndarray, vocab_size: int, device: torch.device
    ) -> DenseTable | RowTable:
        check_order(self.order, len(train_ids), vocab_size)
        # Both tables give the same distributions; a dense one is looked up by arithmetic alone.
        size = dense_rows(vocab_size, self.order) * vocab_size * 4
        fitted = cross_fit.resolve(self.cross_fit, self.order)
        if size > MAX_DENSE_BYTES or fitted is not None:
            smoothing = AddAlpha(self.alpha, vocab_size)
            settings = {"alpha": self.alpha}
            return build_counted(
                self, self.order, smoothing, train_ids, vocab_size, device, settings
            )
        require_memory(4 * size, "reference.order", self.order, "a dense table")
        return build_dense(self.order, self.alpha, train_ids, vocab_size, device)


@dataclass(frozen=True)
class AddAlpha:
    """See ``Smoothing``; the rule is the same at every level."""

    alpha: float
    vocab_size: int
    continuation = False
    to_uniform = True

    def level(self, length: int, counts: Floats) -> AddAlpha:
        """See ``Smoothing``."""
        return self

    def discounted(self, count: Floats) -> Floats:
        """See ``LevelSmoothing``."""
        return count

    def normaliser(self, facts: ContextFacts) -> Floats:
        """See ``LevelSmoothing``."""
        return facts.total + self.alpha * self.vocab_size

    def escape(self, facts: ContextFacts) -> Floats:
        """Give every character α."""
        return np.full_like(facts.total, self.alpha * self.vocab_size)


def build_dense(
    order: int, alpha: float, train_ids: np.ndarray, vocab_size: int, device: torch.device
) -> DenseTable:
    """Count the training text into a table with a row for every context up to ``order - 1``.

    The tables built last are kept: the next run of a warm process often wants the same one.
    """
    name = fingerprint(train_ids, vocab_size, {"order": order, "alpha": alpha})
    found = _kept.pop(name, None) or _fill_dense(order, alpha, train_ids, vocab_size)
    _kept[name] = found
    while len(_kept) > 1 and _bytes_kept() > MAX_DENSE_BYTES:
        _kept.popitem(last=False)
    return DenseTable(*(tensor.to(device) for tensor in found))


_kept: OrderedDict[str, tuple[Tensor, Tensor, Tensor]] = OrderedDict()


def _bytes_kept() -> int:
    return sum(tensor.nbytes for found in _kept.values() for tensor in found)


def _fill_dense(
    order: int, alpha: float, train_ids: np.ndarray, vocab_size: int
) -> tuple[Tensor, Tensor, Tensor]:
    train_rows = number_rows(train_ids, vocab_size, order)  # (order, N)
    counts = dense_counts(train_ids, train_rows, vocab_size)  # (rows, V)
    totals = counts.sum(axis=1)
    # A context never seen has α for each character: the uniform distribution.
    table = torch.full(counts.shape, -math.log(vocab_size))
    seen = np.flatnonzero(totals)
    smoothed = (counts[seen] + alpha) / (totals[seen, None] + alpha * vocab_size)
    table[torch.from_numpy(seen)] = torch.from_numpy(np.log(smoothed)).float()
    return table, torch.from_numpy(totals), torch.from_numpy(train_rows)


def dense_rows(vocab_size: int, order: int) -> int:
    """Count the contexts of length 0 … order - 1 over V characters."""
    return sum(vocab_size**length for length in range(order))


def number_rows(train_ids: np.ndarray, vocab_size: int, order: int) -> np.ndarray:
    """Number the row of each training position for each length of history.

    Rows are numbered as a V-ary heap: row 0 has no context, and the row whose context reaches one
    character c further back than row r is ``r * V + 1 + c``.

    Args:
        train_ids: (N,) integers.
        vocab_size: V.
        order: Longest context plus one.

    Returns:
        (order, N) int32; where the text has just begun, the row of as much history as there is.
    """
    rows = np.zeros((order, len(train_ids)), dtype=np.int32)
    # Part by part, so that what is made on the way stays in the processor's cache.
    for begin in range(0, len(train_ids), _PART):
        end = min(begin + _PART, len(train_ids))
        for back in range(1, order):
            first = max(begin, back)
            longer = rows[back, first:end]
            rows[back, begin:end] = rows[back - 1, begin:end]
            longer *= vocab_size
            longer += train_ids[first - back : end - back]
            longer += 1
    return rows


def dense_counts(train_ids: np.ndarray, train_rows: np.ndarray, vocab_size: int) -> np.ndarray:
    """Count each next character after each context of each length.

    Args:
        train_ids: (N,) integers.
        train_rows: (order, N), see :func:`number_rows`.
        vocab_size: V.

    Returns:
        (rows, V) int64.
    """
    order = len(train_rows)
    longest = order - 1
    counts = np.zeros((dense_rows(vocab_size, order), vocab_size), dtype=np.int64)
    begins = [dense_rows(vocab_size, length) for length in range(order + 1)]
    levels = [counts[begin:end] for begin, end in itertools.pairwise(begins)]
    cells = counts.reshape(-1)
    for begin in range(longest, len(train_ids), _PART):
        part = slice(begin, begin + _PART)
        cell = train_rows[longest, part].astype(np.int64) * vocab_size
        np.add.at(cells, cell + train_ids[part], 1)
    # A shorter context occurs wherever a longer one that ends in it does, and once more at the
    # start of the text, where there is no longer one.
    for length in range(longest - 1, -1, -1):
        longer = levels[length + 1].reshape(-1, vocab_size, vocab_size)
        longer.sum(axis=1, out=levels[length])
        row = 0
        for character in train_ids[:length][::-1]:
            row = row * vocab_size + int(character)
        levels[length][row, train_ids[length]] += 1
    return counts


class DenseTable(Tabulated):
    """One row of log-probabilities for every possible context: a look-up is one gather.

    Args:
        table: (rows, V) fp32 log-probabilities in the order of :func:`number_rows`.
        totals: (rows,) int64, how often each context occurs.
        train_rows: (order, N) int32, see :func:`number_rows`.
    """

    def __init__(self, table: Tensor, totals: Tensor, train_rows: Tensor) -> None:
        super().__init__(table, train_rows)
        self.totals = totals

    def rows(self, contexts: Tensor) -> Tensor:
        """Number the rows of contexts (..., L) int64 → (...,) int64; pure tensor arithmetic."""
        row = contexts.new_zeros(contexts.shape[:-1])
        for back in range(1, min(self.order, contexts.shape[-1] + 1)):
            character = contexts[..., -back]
            # Missing characters only ever stand at the old end: the row stays where it is.
            row = torch.where(character >= 0, row * self.vocab_size + 1 + character, row)
        return row

    def evidence(self, rows: Tensor) -> Reliability:
        """Give order and count of rows (...,)."""
        count = self.totals.index_select(0, rows.reshape(-1)).reshape(rows.shape)
        order = torch.ones_like(rows, dtype=torch.int64)
        starts = [dense_rows(self.vocab_size, length) for length in range(1, self.order)]
        for start in starts:
            order += (rows >= start).long()
        return Reliability(torch.where(count > 0, order, 1), count)

    def nbytes(self) -> int:
        """Count the bytes of the table, its totals and the text's rows."""
        return self.table.nbytes + self.totals.nbytes + self.train_rows.nbytes
