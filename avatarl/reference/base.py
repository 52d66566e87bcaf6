"""What every reference gives: next-character log-probabilities for any context."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated, Literal, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor
from typing_extensions import override

from avatarl.errors import ConfigError
from avatarl.options import Later, Option
from avatarl.reference.counts import check_order
from avatarl.reference.schedule import Gated, ScheduleConfig, check_rungs

MISSING = -1
"""Stands in a context for a character before the start of the window: a shorter history."""


@dataclass(frozen=True)
class Reliability:
    """How much evidence stands behind each distribution.

    Attributes:
        order: (...,) int64, length of the longest context seen in the training text, plus one.
        count: (...,) int64, how often that context was seen there.
    """

    order: Tensor
    count: Tensor


@runtime_checkable
class Reference(Protocol):
    """A fixed conditional distribution over the next character; carries no gradient.

    Attributes:
        order: Longest context it looks at, plus one.
        vocab_size: V.
    """

    order: int
    vocab_size: int

    def logprobs(self, contexts: Tensor) -> Tensor:
        """Score every next character after arbitrary contexts.

        Args:
            contexts: (..., L) int64. The last column is the most recent character; leading
                ``MISSING`` columns mark a history shorter than L. Only the last ``order - 1``
                columns are looked at; L may be smaller than that, also 0.

        Returns:
            (..., V) fp32 log-probabilities, natural logarithm, normalised to 1e-6.
        """
        ...

    def reliability(self, contexts: Tensor) -> Reliability:
        """Say how well the training text knows each of ``contexts`` (..., L) int64."""
        ...

    def train_logprobs(self, positions: Tensor, history: Tensor | int | None = None) -> Tensor:
        """Score every next character at positions of the training text, by row number.

        With cross-fitting the counts behind each row exclude the position itself, so this is
        what training reads; ``logprobs`` always uses all of the training text.

        Args:
            positions: (...,) int64, index p of the *predicted* character in the training ids;
                its context is ``train_ids[max(0, p - order + 1):p]``.
            history: How many characters before p may be looked at, (...,) int64 or one number,
                at least 0; ``None`` is as many as there are.

        Returns:
            (..., V) fp32 log-probabilities.
        """
        ...

    def train_reliability(
        self, positions: Tensor, history: Tensor | int | None = None
    ) -> Reliability:
        """Say how well the text that scores each training position knows its context."""
        ...

    def nbytes(self) -> int:
        """Count the bytes that look-ups need in memory."""
        ...


@dataclass(frozen=True)
class Config(Option, ABC):
    """What every reference has, and what the rest of a run must know of it."""

    @property
    def available(self) -> bool:
        """Whether there is a reference at all."""
        return True

    @property
    def gates(self) -> bool:
        """Whether its schedule weighs positions one by one."""
        return False

    @property
    def reads_before_window(self) -> bool:
        """Whether it reads the text before the policy's window, too."""
        return False

    @property
    def parts(self) -> int:
        """Members that can be read apart; 1 where it isn't made of several."""
        return 1

    def check_text(self, length: int, vocab_size: int) -> None:
        """Refuse a text that :meth:`build` would refuse for its size.

        Quick, so that a plan can check each of its runs.

        Args:
            length: N, characters of the training text.
            vocab_size: V.

        Raises:
            ConfigError: Names the order, and what the text has room for.
        """

    @abstractmethod
    def build(
        self, train_ids: np.ndarray, vocab_size: int, device: torch.device
    ) -> Reference | None:
        """Build the reference; None where the text itself is the only signal.

        Args:
            train_ids: (N,) integers in [0, V): the training text and nothing else.
            vocab_size: V.
            device: Where look-ups happen.

        Raises:
            ConfigError: The order doesn't suit the text, or the table doesn't fit into memory.
        """


@dataclass(frozen=True)
class CountedConfig(Config):
    """What every reference built from counts has.

    Attributes:
        cross_fit: How training positions are scored: by K folds, each scored by the counts of
            the others; ``loo`` by counts without the position itself; ``null`` by all counts
            (leaks the label at high order); ``auto`` decides by order.
        cache_dir: Where built tables are kept; ``null`` is the user's cache directory.
        schedule: How its weight changes as training goes on.
        history: What it reads before a character: the policy's window alone, or the text before it,
            too.
    """

    cross_fit: int | str | None
    cache_dir: str | None
    schedule: ScheduleConfig
    history: Annotated[Literal["window", "text"], Later("window")]

    def __post_init__(self) -> None:
        """Refuse impossible folds, and a schedule that the order has no room for."""
        if self.history == "text" and self.cross_fit in ("loo", None):
            raise ConfigError(
                "cross_fit",
                self.cross_fit,
                "auto or a number of folds, or history=window",
                "with their whole history, single occurrences would give the character away",
            )
        if self.cross_fit not in ("auto", "loo", None) and (
            isinstance(self.cross_fit, str | bool) or not 2 <= self.cross_fit <= 1000
        ):
            valid = "auto, loo, null or a number of folds from 2 to 1000"
            raise ConfigError("cross_fit", self.cross_fit, valid)
        order = getattr(self, "order", None)
        if isinstance(order, int):
            check_rungs(self.schedule, order)

    @property
    @override
    def reads_before_window(self) -> bool:
        return self.history == "text"

    @property
    @override
    def gates(self) -> bool:
        return isinstance(self.schedule, Gated)

    @abstractmethod
    @override
    def build(self, train_ids: np.ndarray, vocab_size: int, device: torch.device) -> Reference: ...

    @override
    def check_text(self, length: int, vocab_size: int) -> None:
        order = getattr(self, "order", None)
        if isinstance(order, int):
            check_order(order, length, vocab_size)


def window_logprobs(
    reference: Reference, context: Tensor, positions: Literal["last", "all"] = "last"
) -> Tensor:
    """Score the next character inside a window, from what the window shows up to there.

    Position t is conditioned on ``context[:, :t + 1]``: on the characters up to *and including*
    t, never on what follows, never on what came before the window.

    Args:
        reference: The reference to ask.
        context: (B, T) int64.
        positions: ``last`` scores the character after the window, ``all`` one per position.

    Returns:
        (B, 1, V) or (B, T, V) fp32 log-probabilities.
    """
    if positions == "last":
        return reference.logprobs(context).unsqueeze(-2)
    return reference.logprobs(history_windows(context, reference.order - 1))


def history_windows(context: Tensor, length: int) -> Tensor:
    """Cut the history of each position out of a window.

    Args:
        context: (B, T) int64.
        length: How many characters of history, h.

    Returns:
        (B, T, h) int64; row t holds characters t-h+1 … t, ``MISSING`` before the window. A view
        of a padded copy: no (B, T, h) memory is allocated.
    """
    batch, width = context.shape
    padding = context.new_full((batch, length), MISSING)
    padded = torch.cat([padding, context], dim=1)  # (B, h + T)
    # Window t covers padded[t + 1 : t + 1 + h], which ends at context character t.
    return padded.unfold(1, length, 1)[:, 1:] if length else context.new_empty((batch, width, 0))
