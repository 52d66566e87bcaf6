"""Build a reference from counts: count, smooth, lay out, cross-fit, keep."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from avatarl.reference import cross_fit
from avatarl.reference.base import CountedConfig
from avatarl.reference.counts import Counts, Longs, check_order, count_grams
from avatarl.reference.free_memory import require_memory
from avatarl.reference.rows import fill_rows, lay_out, link_contexts
from avatarl.reference.smoothing import Smoothing
from avatarl.reference.store import cached, fingerprint
from avatarl.reference.table import Arrays, RowTable

COUNTING_BYTES = 60
"""Peak memory of counting, per character of text (keys, their order, grams)."""


def build_counted(
    config: CountedConfig,
    order: int,
    smoothing: Smoothing,
    train_ids: np.ndarray,
    vocab_size: int,
    device: torch.device,
    settings: Mapping[str, Any] | None = None,
) -> RowTable:
    """Build, or read back what an earlier run with the same text and settings has built.

    Args:
        config: Where to keep the table and how to score training positions.
        order: Longest context plus one.
        smoothing: The rule.
        train_ids: (N,) integers in [0, V).
        vocab_size: V.
        device: Where look-ups happen.
        settings: What else determines the rule, as JSON values.

    Raises:
        ConfigError: The order doesn't suit the text, or the table doesn't fit into memory.
    """
    check_order(order, len(train_ids), vocab_size)
    setting = cross_fit.resolve(config.cross_fit, order)

    def make() -> dict[str, torch.Tensor]:
        require_memory(COUNTING_BYTES * len(train_ids), "reference.order", order, "counting")
        return tabulate(count_grams(train_ids, vocab_size, order), smoothing, setting).tensors()

    rule = {"rule": type(smoothing).__name__, "order": order, "cross_fit": setting}
    name = fingerprint(train_ids, vocab_size, {**rule, **(settings or {})})
    arrays = Arrays(**cached(config.cache_dir, name, make))
    if device.type != "cpu":
        require_memory(arrays.nbytes(), "reference.order", order, "the table", device)
    return RowTable(arrays.to(device))


def tabulate(counts: Counts, smoothing: Smoothing, setting: cross_fit.CrossFit) -> Arrays:
    """Turn counts into rows.

    Raises:
        ConfigError: More memory would be needed than is free.
    """
    vocab_size = counts.vocab_size
    if isinstance(setting, int):
        setting = min(setting, len(counts.gram))
    layout = lay_out(counts, smoothing)
    row_bytes = 4 * vocab_size + 8
    states = layout.whole[-1]
    require_memory(
        layout.rows * row_bytes + states * (row_bytes + 4), "reference.order", layout.order, "rows"
    )
    contexts = cross_fit.context_rows(counts, layout)
    parts = list(cross_fit.plan(counts, layout, smoothing, contexts, setting))
    rows = layout.rows + sum(len(part.stored) for part in parts)
    largest = max((len(part.stored) for part in parts), default=0)
    require_memory(
        (rows + 3 * largest) * row_bytes + states * row_bytes,
        "reference.order",
        layout.order,
        f"{rows:,} rows over {vocab_size} characters",
    )
    table = torch.empty(rows, vocab_size)
    row_order = np.ones(rows, dtype=np.int32)
    row_count = np.zeros(rows, dtype=np.int32)
    seen = cross_fit.totals(counts)
    sparse = fill_rows(table[: layout.rows], layout, counts, smoothing)
    for starts in (layout.whole, layout.cut):
        for length, start in enumerate(starts):
            row_order[start : start + len(seen[length])] = length + 1
            row_count[start : start + len(seen[length])] = seen[length]
    begin = layout.rows
    for part in parts:
        end = begin + len(part.stored)
        facts: tuple[Longs, Longs]
        if setting == "loo":
            facts = cross_fit.fill_leave_one_out(
                table[begin:end], part, layout, counts, smoothing, sparse, table
            )
        else:
            facts = cross_fit.fill_fold(table[begin:end], part, layout, counts, smoothing)
        row_order[begin:end], row_count[begin:end] = facts
        contexts[:, part.begin : part.end] = part.rows
        contexts[:, part.begin : part.end] += begin
        begin = end
    return Arrays(
        table.log_(),
        link_contexts(layout, counts, seen),
        torch.from_numpy(row_order),
        torch.from_numpy(row_count),
        torch.from_numpy(contexts),
    )
