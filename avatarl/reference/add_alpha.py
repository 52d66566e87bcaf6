"""Add-α smoothing: every next character gets α more counts than it has.

Source: Chen & Goodman 1998, §2.1 (additive smoothing).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from annotated_types import Ge, Gt
from torch import Tensor

from avatarl.errors import ConfigError
from avatarl.reference.base import CountedConfig, Reliability

MAX_DENSE_BYTES = 2**31
"""Largest dense table: 2 GiB."""


@dataclass(frozen=True)
class Config(CountedConfig):
    """Settings of add-α.

    Attributes:
        order: Longest context plus one; 1 looks at no context.
        alpha: What is added to each count.
    """

    order: Annotated[int, Ge(1)]
    alpha: Annotated[float, Gt(0)]


def build(
    config: Config, train_ids: np.ndarray, vocab_size: int, device: torch.device
) -> DenseTable:
    """Count the training text into a table with a row for every context up to ``order - 1``.

    Raises:
        ConfigError: The text is shorter than the order, or the table larger than
            ``MAX_DENSE_BYTES``.
    """
    if config.order > len(train_ids):
        raise ConfigError(
            "reference.order", config.order, f"1 to {len(train_ids)}", "longer than the text"
        )
    rows = dense_rows(vocab_size, config.order)
    size = rows * vocab_size * 4
    if size > MAX_DENSE_BYTES:
        raise ConfigError(
            "reference.order",
            config.order,
            "a lower order, or reference=kneser_ney, which keeps only contexts that occur",
            f"a dense table over {vocab_size} characters needs {size / 2**30:,.1f} GiB of "
            f"{MAX_DENSE_BYTES / 2**30:g} allowed",
        )
    counts = dense_counts(train_ids, vocab_size, config.order)  # (rows, V)
    totals = counts.sum(axis=1)
    # A context never seen has α for each character: the uniform distribution.
    table = torch.full((rows, vocab_size), -math.log(vocab_size))
    seen = np.flatnonzero(totals)
    smoothed = (counts[seen] + config.alpha) / (totals[seen, None] + config.alpha * vocab_size)
    table[torch.from_numpy(seen)] = torch.from_numpy(np.log(smoothed)).float()
    train = torch.from_numpy(train_ids.astype(np.int64))
    return DenseTable(
        table.to(device), torch.from_numpy(totals).to(device), train.to(device), config.order
    )


def dense_rows(vocab_size: int, order: int) -> int:
    """Count the contexts of length 0 … order - 1 over V characters."""
    return sum(vocab_size**length for length in range(order))


def dense_counts(train_ids: np.ndarray, vocab_size: int, order: int) -> np.ndarray:
    """Count each next character after each context of each length below ``order``.

    Args:
        train_ids: (N,) integers.
        vocab_size: V.
        order: Longest context plus one.

    Returns:
        (rows, V) int64, rows numbered as a V-ary heap: row 0 has no context, and the row whose
        context reaches one character c further back than row r is ``r * V + 1 + c``.
    """
    ids = train_ids.astype(np.int64)
    rows = dense_rows(vocab_size, order)
    row = np.zeros(len(ids), dtype=np.int64)
    cells = [ids]
    for length in range(1, order):
        # Row of the context that ends just before each position, for positions with one.
        row = row[1:] * vocab_size + 1 + ids[: len(ids) - length]
        cells.append(row * vocab_size + ids[length:])
    counts = np.bincount(np.concatenate(cells), minlength=rows * vocab_size)
    return counts.reshape(rows, vocab_size)


class DenseTable:
    """One row of log-probabilities for every possible context: a look-up is one gather.

    Args:
        table: (rows, V) fp32 log-probabilities in the heap order of ``dense_counts``.
        totals: (rows,) int64, how often each context occurs.
        train: (N,) int64, the training text.
        order: Longest context plus one.
    """

    def __init__(self, table: Tensor, totals: Tensor, train: Tensor, order: int) -> None:
        self.table, self.totals, self.train, self.order = table, totals, train, order
        self.vocab_size = table.shape[1]

    def rows(self, contexts: Tensor) -> Tensor:
        """Number the rows of contexts (..., L) int64 → (...,) int64; pure tensor arithmetic."""
        row = contexts.new_zeros(contexts.shape[:-1])
        for back in range(1, min(self.order, contexts.shape[-1] + 1)):
            character = contexts[..., -back]
            # Missing characters only ever stand at the old end: the row stays where it is.
            row = torch.where(character >= 0, row * self.vocab_size + 1 + character, row)
        return row

    def logprobs(self, contexts: Tensor) -> Tensor:
        """Look contexts (..., L) up → (..., V) fp32; see ``Reference.logprobs``."""
        return self.table[self.rows(contexts)]

    def reliability(self, contexts: Tensor) -> Reliability:
        """Give the longest seen context's order and count, each (...,) int64."""
        order = contexts.new_ones(contexts.shape[:-1])
        count = self.totals[0].expand(order.shape)
        row = torch.zeros_like(order)
        for back in range(1, min(self.order, contexts.shape[-1] + 1)):
            character = contexts[..., -back]
            row = torch.where(character >= 0, row * self.vocab_size + 1 + character, row)
            seen = (character >= 0) & (self.totals[row] > 0)
            order = torch.where(seen, back + 1, order)
            count = torch.where(seen, self.totals[row], count)
        return Reliability(order, count)

    def train_contexts(self, positions: Tensor, history: Tensor | int | None) -> Tensor:
        """Cut the contexts before training positions (...,) out of the text → (..., order-1)."""
        back = torch.arange(self.order - 1, 0, -1, device=positions.device)
        index = positions.unsqueeze(-1) - back  # (..., order - 1)
        visible = index >= 0
        if history is not None:
            limit = torch.as_tensor(history, device=positions.device).unsqueeze(-1)
            visible &= back <= limit
        return torch.where(visible, self.train[index.clamp(min=0)], -1)

    def train_logprobs(self, positions: Tensor, history: Tensor | int | None = None) -> Tensor:
        """Look training positions (...,) up → (..., V) fp32; see ``Reference``."""
        return self.logprobs(self.train_contexts(positions, history))

    def train_reliability(
        self, positions: Tensor, history: Tensor | int | None = None
    ) -> Reliability:
        """Give the evidence at training positions (...,); see ``Reference``."""
        return self.reliability(self.train_contexts(positions, history))
