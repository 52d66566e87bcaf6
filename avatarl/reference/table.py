"""Look distributions up: walk back through the history to a row number, gather the row."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from avatarl.reference.base import Reliability


@dataclass(frozen=True)
class Arrays:
    """What a built reference consists of, and what is kept on disk.

    Attributes:
        table: (rows, V) fp32 log-probabilities.
        links: (states, V + 1) int32, see ``rows.link_contexts``.
        row_order: (rows,) int32, length of each row's context plus one.
        row_count: (rows,) int32, occurrences of that context.
        train_rows: (order, N) int32, row of each training position for each length of history.
    """

    table: Tensor
    links: Tensor
    row_order: Tensor
    row_count: Tensor
    train_rows: Tensor

    def to(self, device: torch.device) -> Arrays:
        """Move everything to ``device``."""
        return Arrays(**{name: tensor.to(device) for name, tensor in self.tensors().items()})

    def tensors(self) -> dict[str, Tensor]:
        """Name every array."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def nbytes(self) -> int:
        """Count the bytes of all arrays."""
        return sum(tensor.nbytes for tensor in self.tensors().values())


class Tabulated(ABC):
    """A reference whose contexts have rows; see ``Reference``.

    Args:
        table: (rows, V) fp32 log-probabilities.
        train_rows: (order, N) int32, row of each training position for each length of history.
    """

    def __init__(self, table: Tensor, train_rows: Tensor) -> None:
        self.table, self.train_rows = table, train_rows
        self.order, self.vocab_size = len(train_rows), table.shape[1]

    @abstractmethod
    def rows(self, contexts: Tensor) -> Tensor:
        """Find the rows of contexts (..., L) int64 → (...,); pure tensor arithmetic."""

    @abstractmethod
    def evidence(self, rows: Tensor) -> Reliability:
        """Give order and count of rows (...,)."""

    def logprobs(self, contexts: Tensor) -> Tensor:
        """Score arbitrary contexts (..., L) → (..., V) fp32; see ``Reference``."""
        return gather(self.table, self.rows(contexts))

    def reliability(self, contexts: Tensor) -> Reliability:
        """Give the evidence behind arbitrary contexts (..., L); see ``Reference``."""
        return self.evidence(self.rows(contexts))

    def train_logprobs(self, positions: Tensor, history: Tensor | int | None = None) -> Tensor:
        """Score training positions (...,) → (..., V) fp32; see ``Reference``."""
        return gather(self.table, select_rows(self.train_rows, positions, history))

    def train_reliability(
        self, positions: Tensor, history: Tensor | int | None = None
    ) -> Reliability:
        """Give the evidence at training positions (...,); see ``Reference``."""
        return self.evidence(select_rows(self.train_rows, positions, history))


class RowTable(Tabulated):
    """A reference with one stored row per distinct context; see ``Reference``.

    Args:
        arrays: The rows and the ways to them.
    """

    def __init__(self, arrays: Arrays) -> None:
        super().__init__(arrays.table, arrays.train_rows)
        self.arrays = arrays

    def rows(self, contexts: Tensor) -> Tensor:
        """Find the rows of contexts (..., L) int64 → (...,) int32; pure tensor arithmetic."""
        links = self.arrays.links.reshape(-1)
        columns = self.vocab_size + 1
        index = torch.int32 if links.numel() < 2**31 else torch.int64
        shape = contexts.shape[:-1]
        known = min(self.order - 1, contexts.shape[-1])
        # States ≥ 0 are contexts, 0 the empty one; negative states have arrived at a row.
        state = contexts.new_full((shape.numel(),), 0 if self.order > 1 else -1, dtype=torch.int32)
        if known:
            back = contexts[..., contexts.shape[-1] - known :] + 1
            back = back.reshape(-1, known).t().to(index).contiguous()  # (known, n)
            state = links.index_select(0, back[-1])
        for step in range(2, known + 1):
            place = state.clamp(min=0).to(index) * columns + back[-step]
            state = torch.where(state >= 0, links.index_select(0, place), state)
        if known < self.order - 1:
            # The history ends here, as if its next character were missing.
            place = state.clamp(min=0).to(index) * columns
            state = torch.where(state >= 0, links.index_select(0, place), state)
        return (-state - 1).reshape(shape)

    def evidence(self, rows: Tensor) -> Reliability:
        """Give order and count of rows (...,)."""
        flat = rows.reshape(-1)
        order = self.arrays.row_order.index_select(0, flat).reshape(rows.shape)
        count = self.arrays.row_count.index_select(0, flat).reshape(rows.shape)
        return Reliability(order.long(), count.long())

    def nbytes(self) -> int:
        """Count the bytes of all arrays."""
        return self.arrays.nbytes()


def select_rows(rows: Tensor, positions: Tensor, history: Tensor | int | None) -> Tensor:
    """Find the rows of training positions (...,) int64 → (...,) int32.

    Args:
        rows: (order, N) int32, the row of each position for each length of history.
        positions: As in ``Reference.train_logprobs``.
        history: Likewise.
    """
    longest = len(rows) - 1
    if history is None or isinstance(history, int):
        depth = longest if history is None else min(history, longest)
        return rows[depth].index_select(0, positions.reshape(-1)).reshape(positions.shape)
    depths = history.to(positions.device).clamp(max=longest)
    place = depths * rows.shape[1] + positions
    return rows.reshape(-1).index_select(0, place.reshape(-1)).reshape(place.shape)


def gather(table: Tensor, rows: Tensor) -> Tensor:
    """Gather rows (...,) of a table (n, V) → (..., V)."""
    # index_select reads whole rows; plain indexing is four times slower on a CPU.
    return table.index_select(0, rows.reshape(-1)).reshape(*rows.shape, table.shape[1])
