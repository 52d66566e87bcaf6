"""Score training positions by counts that exclude them.

A reference of high order built on the text it scores hands over the label: of the training 7-grams,
28 % occur once. Two ways out, both with one stored row per distinct answer:

*Folds*: the text is cut into K blocks, and each block's positions are scored by the counts of what
is predicted in the others. *Leave-one-out*: each position is scored by all counts but its own, with
the smoothing's parameters held fixed.

Source: Jelinek & Mercer 1980 (deleted estimation); Ney, Essen & Kneser 1995 (leaving-one-out).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from avatarl.reference.counts import Counts, Ints, Longs
from avatarl.reference.rows import Layout, mix_rows
from avatarl.reference.smoothing import ContextFacts, Floats, Smoothing, Sparse, smooth_level

AUTO_ABOVE_ORDER = 4
AUTO_FOLDS = 10

CrossFit = int | Literal["loo"] | None


def resolve(setting: int | str | None, order: int) -> CrossFit:
    """Turn ``auto`` into folds above order 4, where single occurrences abound, else none."""
    if setting == "auto":
        return AUTO_FOLDS if order > AUTO_ABOVE_ORDER else None
    if setting == "loo":
        return "loo"
    assert setting is None or isinstance(setting, int)
    return setting


@dataclass(frozen=True)
class Part:
    """Rows that some training positions need, before they are filled in.

    Attributes:
        begin: First position.
        end: One after the last.
        stored: (S,) int64, numbers of the rows to keep, in the layout the part was planned in.
        rows: (order, end − begin) int32, index into ``stored`` for each history and position.
    """

    begin: int
    end: int
    stored: Longs
    rows: Ints


def context_rows(counts: Counts, layout: Layout) -> Ints:
    """Number the whole row of each training position's context, for each length of history.

    Returns:
        (order, N) int32; [h, p] is the context of the min(h, p) characters before position p.
    """
    rows = np.zeros((layout.order, len(counts.gram)), dtype=np.int32)
    for length in range(1, layout.order):
        rows[length, length:] = counts.grams(length)[length - 1 : -1] + layout.whole[length]
        rows[length, :length] = rows[length - 1, :length]
    return rows


def totals(counts: Counts) -> list[Longs]:
    """Count, for each length, how often each context is followed by something; (U,) int64."""
    sums = []
    for length, level in enumerate(counts.levels[1:]):
        weights = np.where(level.real, level.count, 0)
        size = len(counts.levels[length])
        sums.append(np.bincount(level.context, weights=weights, minlength=size).astype(np.int64))
    return sums


def fold_bounds(length: int, folds: int) -> list[tuple[int, int]]:
    """Cut N positions into contiguous blocks of nearly equal size."""
    edges = [length * fold // folds for fold in range(folds + 1)]
    return list(itertools.pairwise(edges))


def plan_fold(counts: Counts, layout: Layout, contexts: Ints, begin: int, end: int) -> Part:
    """Find the rows that score block ``begin`` … ``end`` by the counts of the rest.

    Args:
        counts: Of the whole text.
        layout: Its rows.
        contexts: (order, N) from ``context_rows``.
        begin: First position of the block.
        end: One after its last.
    """
    seen = totals(counts.without(begin, end))
    # A context the rest has never seen is answered by the longest ending that it has.
    answer = np.empty(layout.whole[-1] + len(seen[-1]), dtype=np.int32)
    cut = np.zeros(1, dtype=np.int32)
    for length in range(layout.order):
        number = np.arange(len(seen[length]), dtype=np.int32)
        fallback = cut[counts.levels[length].parent]
        if layout.uniform >= 0:
            fallback = np.full_like(number, layout.uniform)
        known = seen[length] > 0
        start = layout.whole[length]
        answer[start : start + len(number)] = np.where(known, start + number, fallback)
        if length + 1 < layout.order:
            cut = np.where(known, layout.cut[length] + number, fallback)
    return _part(begin, end, answer[contexts[:, begin:end]], layout.rows)


def fill_fold(
    out: Tensor, part: Part, layout: Layout, counts: Counts, smoothing: Smoothing
) -> tuple[Longs, Longs]:
    """Write the rows of one block.

    Args:
        out: (S, V) fp32, overwritten with probabilities.
        part: The block.
        layout: Of the whole text.
        counts: Of the whole text.
        smoothing: The rule, its parameters estimated again on the rest.

    Returns:
        Order and count of each row's context, (S,) int64 each.
    """
    rest = counts.without(part.begin, part.end)
    seen = totals(rest)
    wanted = np.zeros(layout.rows, dtype=bool)
    wanted[part.stored] = True
    # What is kept, and what that builds on: each row needs the cut row of its ending.
    whole_need: list[Longs] = [np.empty(0, dtype=np.int64)] * layout.order
    cut_need: list[Longs] = [np.empty(0, dtype=np.int64)] * layout.order
    below = np.empty(0, dtype=np.int64)
    for length in range(layout.order - 1, -1, -1):
        size = len(seen[length])
        start = layout.whole[length]
        whole = wanted[start : start + size].copy()
        cut = np.zeros(size, dtype=bool)
        if smoothing.continuation and length + 1 < layout.order:
            cut[:] = wanted[layout.cut[length] : layout.cut[length] + size]
        target = cut if smoothing.continuation else whole
        target[below] = True
        whole_need[length], cut_need[length] = np.flatnonzero(whole), np.flatnonzero(cut)
        used = np.concatenate([whole_need[length], cut_need[length]])
        below = np.unique(counts.levels[length].parent[used]).astype(np.int64)

    order = np.ones(len(part.stored), dtype=np.int64)
    count = np.zeros(len(part.stored), dtype=np.int64)
    uniform = torch.full((1, counts.vocab_size), 1.0 / counts.vocab_size)
    lower, lower_place = uniform, np.zeros(1, dtype=np.int64)
    if layout.uniform >= 0 and wanted[layout.uniform]:
        out[-1] = uniform[0]  # the last number of all
    for length in range(layout.order):
        parent = rest.levels[length].parent
        if length == 0 or smoothing.to_uniform:
            lower, lower_place = uniform, np.zeros(int(parent.max()) + 1, dtype=np.int64)
        next_lower, next_place = lower, lower_place
        for start, need, continuation in (
            (layout.whole[length], whole_need[length], False),
            (layout.cut[length] if length + 1 < layout.order else 0, cut_need[length], True),
        ):
            if not len(need):
                continue
            sparse = smooth_level(rest, smoothing, length, continuation)
            place = np.full(len(seen[length]), -1, dtype=np.int64)
            place[need] = np.arange(len(need))
            rows = torch.empty(len(need), counts.vocab_size)
            grams = rest.levels[length + 1]
            used = np.flatnonzero((sparse.count > 0) & (place[grams.context] >= 0))
            cells = place[grams.context[used]], grams.latest[used], sparse.value[used]
            mix_rows(rows, lower, lower_place[parent[need]], sparse.backoff[need], cells)
            kept = np.flatnonzero(wanted[start + need])
            target = np.searchsorted(part.stored, start + need[kept])
            out[torch.from_numpy(target)] = rows[torch.from_numpy(kept)]
            order[target], count[target] = length + 1, seen[length][need[kept]]
            if continuation == smoothing.continuation:
                next_lower, next_place = rows, place
        lower, lower_place = next_lower, next_place
    return order, count


def plan_leave_one_out(counts: Counts, layout: Layout, smoothing: Smoothing) -> Part:
    """Find the rows that score each position by all counts but its own.

    Rows are numbered by gram (context and true character): first the whole ones of each length,
    then the cut ones, then the uniform one.
    """
    order, seen = layout.order, totals(counts)
    whole, cut, uniform = _gram_layout(counts, smoothing)
    answers: list[Longs] = []
    fallback = np.zeros(1, dtype=np.int64)
    for length in range(order):
        grams = counts.levels[length + 1]
        number = np.arange(len(grams))
        below = fallback[grams.parent] if length else np.zeros(len(grams), dtype=np.int64)
        if smoothing.to_uniform:
            below = np.full(len(grams), uniform)
        answers.append(np.where(seen[length][grams.context] > 1, whole[length] + number, below))
        if length + 1 < order:
            total = seen[length]
            if smoothing.continuation:
                weights = np.where(grams.real, grams.continuation, 0)
                total = np.bincount(grams.context, weights, len(counts.levels[length]))
            fallback = np.where(total[grams.context] > 1, cut[length] + number, below)
    rows = np.empty((order, len(counts.gram)), dtype=np.int64)
    for length in range(order):
        rows[length] = answers[length][counts.grams(length + 1)]
        rows[length, :length] = rows[length - 1, :length] if length else 0
    return _part(0, len(counts.gram), rows, uniform + 1)


def fill_leave_one_out(
    out: Tensor,
    part: Part,
    layout: Layout,
    counts: Counts,
    smoothing: Smoothing,
    parts: list[tuple[Sparse, Sparse]],
    table: Tensor,
) -> tuple[Longs, Longs]:
    """Write the rows that leave one occurrence out.

    Args:
        out: (S, V) fp32, overwritten with probabilities.
        part: From ``plan_leave_one_out``.
        layout: Of the whole text.
        counts: Of the whole text.
        smoothing: The rule.
        parts: The whole text's sparse parts, from ``fill_rows``.
        table: The whole text's rows, still probabilities.

    Returns:
        Order and count of each row's context, (S,) int64 each.
    """
    vocab_size, seen = counts.vocab_size, totals(counts)
    whole, cut, uniform = _gram_layout(counts, smoothing)
    order = np.ones(len(part.stored), dtype=np.int64)
    count = np.zeros(len(part.stored), dtype=np.int64)
    flat = torch.full((1, vocab_size), 1.0 / vocab_size)
    if len(part.stored) and part.stored[-1] == uniform:
        out[-1] = flat[0]
    reduced: Tensor | None = None  # cut rows of the shorter contexts with one occurrence less
    for length in range(layout.order):
        grams, size = counts.levels[length + 1], len(counts.levels[length])
        next_reduced: Tensor | None = None
        for start, continuation, sparse in (
            (whole[length], False, parts[length][0]),
            (cut[length] if length + 1 < layout.order else -1, True, parts[length][1]),
        ):
            if continuation and (not smoothing.continuation or start < 0):
                continue
            first, last = np.searchsorted(part.stored, [start, start + len(grams)])
            kept = part.stored[first:last] - start
            # Cut rows of every gram may be built upon; of whole ones only the kept are wanted,
            # unless whole and cut are the same.
            everything = continuation == smoothing.continuation and length + 1 < layout.order
            need = np.arange(len(grams)) if everything else kept
            rows = torch.zeros(size, vocab_size)
            used = np.flatnonzero(sparse.count)
            cells = grams.context[used].astype(np.int64) * vocab_size + grams.latest[used]
            rows.numpy().reshape(-1)[cells] = sparse.rule.discounted(sparse.count[used])
            rows = rows.index_select(0, torch.from_numpy(grams.context[need]))
            own = sparse.count[need]
            cells = np.arange(len(need)) * vocab_size + grams.latest[need]
            rows.numpy().reshape(-1)[cells] = sparse.rule.discounted(own - 1)
            facts = sparse.facts.at(grams.context[need]).without(own)
            normaliser, escape = _safe(sparse, facts)
            rows.mul_(torch.from_numpy(1.0 / normaliser).float().unsqueeze(1))
            share = torch.from_numpy(escape / normaliser).float().unsqueeze(1)
            if length == 0 or smoothing.to_uniform:
                rows.add_(share * flat)
            else:
                assert reduced is not None
                start_below = layout.cut[length - 1]
                endings = counts.levels[length].parent[grams.context[need]]
                intact = table.index_select(0, torch.from_numpy(endings + start_below))
                # The shorter context loses an occurrence too: always by plain counts, and by
                # continuation counts when the gram is gone altogether.
                gone = np.ones(len(need), dtype=bool)
                if smoothing.continuation:
                    gone = own == 1
                shorter = torch.from_numpy(grams.parent[need[gone]])
                intact[torch.from_numpy(np.flatnonzero(gone))] = reduced.index_select(0, shorter)
                rows.add_(intact.mul_(share))
            target = torch.from_numpy(kept) if everything else slice(None)
            out[first:last] = rows[target]
            order[first:last] = length + 1
            count[first:last] = seen[length][grams.context[kept]] - 1
            if everything:
                next_reduced = rows
        reduced = next_reduced
    return order, count


def _safe(sparse: Sparse, facts: ContextFacts) -> tuple[Floats, Floats]:
    """Normaliser and escape; a context left without any count hands everything down."""
    normaliser = sparse.rule.normaliser(facts)
    escape = sparse.rule.escape(facts)
    empty = normaliser <= 0
    return np.where(empty, 1.0, normaliser), np.where(empty, 1.0, escape)


def _gram_layout(counts: Counts, smoothing: Smoothing) -> tuple[list[int], list[int], int]:
    """Number whole rows by gram of each length, then cut rows, then the uniform one."""
    sizes = [len(level) for level in counts.levels[1:]]
    whole = np.concatenate([[0], np.cumsum(sizes)])
    cut, end = whole[:-2], int(whole[-1])
    if smoothing.continuation:
        cut = whole[:-2] + end
        end += int(whole[-2])
    return whole[:-1].tolist(), cut.tolist(), end


def _part(begin: int, end: int, numbers: NDArray[np.integer], limit: int) -> Part:
    """Keep each row that is asked for once."""
    wanted = np.zeros(limit, dtype=bool)
    wanted[numbers] = True
    index = np.cumsum(wanted, dtype=np.int32) - 1
    return Part(begin, end, np.flatnonzero(wanted), index[numbers].astype(np.int32))


def plan(
    counts: Counts, layout: Layout, smoothing: Smoothing, contexts: Ints, setting: CrossFit
) -> Iterator[Part]:
    """Plan all training positions."""
    if setting == "loo":
        yield plan_leave_one_out(counts, layout, smoothing)
    elif setting is not None:
        for begin, end in fold_bounds(len(counts.gram), setting):
            yield plan_fold(counts, layout, contexts, begin, end)
