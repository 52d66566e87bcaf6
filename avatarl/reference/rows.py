"""Lay out one row of probabilities per context, and fill the rows in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from avatarl.reference.counts import Counts, Ints, Longs
from avatarl.reference.smoothing import Smoothing, Sparse, smooth_level


@dataclass(frozen=True)
class Layout:
    """Where each context's rows stand in the table.

    A context of length d may need two rows. *Whole*: it is all the history there is, its counts are
    plain occurrences. *Cut*: the history is longer but unseen; Kneser–Ney answers that from
    continuation counts. Other smoothings give both the same row.

    Attributes:
        whole: Index d is the first row of the whole contexts of length d.
        cut: Index d is the first row of the cut contexts of length d; none at the highest.
        uniform: A row of 1/V for add-α's unseen contexts; −1 where nothing falls back to it.
        rows: How many there are.
        order: Longest context plus one.
    """

    whole: tuple[int, ...]
    cut: tuple[int, ...]
    uniform: int
    rows: int

    @property
    def order(self) -> int:
        """Longest context plus one."""
        return len(self.whole)


def lay_out(counts: Counts, smoothing: Smoothing) -> Layout:
    """Give each context its rows, short contexts first."""
    sizes = [len(level) for level in counts.levels[:-1]]
    starts = np.concatenate([[0], np.cumsum(sizes)]).tolist()
    whole, rows = tuple(starts[:-1]), starts[-1]
    cut = whole[:-1]
    if smoothing.continuation:
        cut = tuple(rows + start for start in whole[:-1])
        rows += starts[-2]
    uniform = -1
    if smoothing.to_uniform:
        uniform, rows = rows, rows + 1
    return Layout(whole, cut, uniform, rows)


def mix_rows(
    out: Tensor,
    lower: Tensor,
    suffix: NDArray[np.integer],
    backoff: NDArray[np.float32],
    cells: tuple[NDArray[np.integer], Ints, NDArray[np.float32]],
) -> None:
    """Write rows: scaled rows of the shorter contexts plus each gram's own share.

    Args:
        out: (U, V) fp32, overwritten.
        lower: Rows of the shorter contexts.
        suffix: (U,), which row of ``lower`` each row builds on.
        backoff: (U,) float32, the scale.
        cells: Row, column and share of each gram; no cell comes twice.
    """
    torch.index_select(lower, 0, torch.from_numpy(np.ascontiguousarray(suffix)), out=out)
    out.mul_(torch.from_numpy(backoff).unsqueeze(1))
    rows, columns, values = cells
    out.numpy().reshape(-1)[rows.astype(np.int64) * out.shape[1] + columns] += values


def fill_rows(
    table: Tensor, layout: Layout, counts: Counts, smoothing: Smoothing
) -> list[tuple[Sparse, Sparse]]:
    """Write every context's probabilities, short contexts first.

    Args:
        table: (rows, V) fp32, on the CPU; every row is written.
        layout: From ``lay_out``.
        counts: Grams up to ``layout.order``.
        smoothing: The rule.

    Returns:
        For each context length the sparse parts (whole, cut).
    """
    vocab_size = counts.vocab_size
    uniform = torch.full((1, vocab_size), 1.0 / vocab_size)
    if layout.uniform >= 0:
        table[layout.uniform] = uniform[0]
    lower, parts = uniform, []
    for length in range(layout.order):
        nodes, grams = counts.levels[length], counts.levels[length + 1]
        suffix = nodes.parent
        if length == 0 or smoothing.to_uniform:
            suffix, lower = np.zeros(len(nodes), dtype=np.int32), uniform
        whole = cut = smooth_level(counts, smoothing, length, continuation=False)
        versions = [(layout.whole[length], whole)]
        if smoothing.continuation and length + 1 < layout.order:
            cut = smooth_level(counts, smoothing, length, continuation=True)
            versions.append((layout.cut[length], cut))
        for start, sparse in versions:
            out = table[start : start + len(nodes)]
            used = np.flatnonzero(sparse.count)
            cells = grams.context[used], grams.latest[used], sparse.value[used]
            mix_rows(out, lower, suffix, sparse.backoff, cells)
        parts.append((whole, cut))
        lower = out
    return parts


def link_contexts(layout: Layout, counts: Counts, totals: list[Longs]) -> Tensor:
    """Make the table that walks back through a history, one character at a step.

    States ≥ 0 are contexts shorter than the longest, numbered as their whole rows. A state s < 0 is
    an answer: row −s − 1. Entry (state, c + 1) is the state after reaching one character c
    further back; c = −1 says that the history ends here.

    Args:
        layout: Where the rows are.
        counts: The grams.
        totals: For each length, how often each context is followed by something, (U,) int64.

    Returns:
        (states, V + 1) int32.
    """
    vocab_size = counts.vocab_size
    states = layout.whole[-1]
    links = np.empty((states, vocab_size + 1), dtype=np.int32)
    for length in range(layout.order - 1):
        size = len(counts.levels[length])
        number = np.arange(size)
        block = links[layout.whole[length] : layout.whole[length] + size]
        block[:, 0] = -(layout.whole[length] + number) - 1
        unseen = layout.uniform if layout.uniform >= 0 else layout.cut[length] + number
        block[:, 1:] = np.broadcast_to(-np.asarray(unseen) - 1, (size,)).reshape(-1, 1)
        longer = counts.levels[length + 1]
        known = np.flatnonzero(longer.real & (totals[length + 1] > 0))
        state = layout.whole[length + 1] + known
        if length + 2 == layout.order:
            state = -state - 1
        block[longer.parent[known], longer.oldest[known] + 1] = state
    return torch.from_numpy(links)
