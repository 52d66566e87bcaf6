"""Which windows of the training text each step sees, from the seed and the step alone."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from avatarl.errors import ConfigError, DataError

Starts = npt.NDArray[np.int64]


class Windows:
    """A stateless order of training windows.

    A window starting at ``s`` is ``ids[s : s + window_span]``: its first L characters are the
    context, and the character right after a position is that position's target. With ``last``
    only the final one is a target, and an epoch visits every character that has a full context
    exactly once; with ``all`` every position has a target, and windows tile the text at a random
    phase, so that no character is a target twice in an epoch. What doesn't fill a batch is
    dropped, and each epoch has its own order.

    Args:
        train_length: N, characters in the training text.
        context_length: L.
        batch_size: B, windows a step.
        positions: ``last`` or ``all``.
        seed: Non-negative; the order depends on nothing else but the epoch.

    Raises:
        DataError: The text is no longer than one context.
        ConfigError: The text has fewer windows than a batch.
    """

    def __init__(
        self,
        train_length: int,
        context_length: int,
        batch_size: int,
        positions: Literal["last", "all"],
        seed: int,
    ) -> None:
        if train_length <= context_length:
            why = f"the training text has {train_length} characters"
            raise DataError(
                "model.context_length", context_length, f"at most {train_length - 1}", why
            )
        self.context_length = context_length
        self.batch_size = batch_size
        self.positions = positions
        self.seed = seed
        if positions == "last":
            self._stride, self._phases = 1, 1
            self._windows = train_length - context_length
        else:
            # As many windows as fit at L phases or more: all epochs have the same length, and
            # from the first phase to the last one the tiles reach both ends of the text.
            self._stride = context_length
            self._windows = max(1, (train_length - context_length) // context_length)
            self._phases = train_length - self._windows * context_length
        if not 1 <= batch_size <= self._windows:
            why = f"the training text has {self._windows} windows"
            raise ConfigError("trainer.batch_size", batch_size, f"1 to {self._windows}", why)
        self._epoch = -1
        self._order: npt.NDArray[np.unsignedinteger[Any]] = np.empty(0, np.uint32)
        self._phase = 0

    @property
    def window_span(self) -> int:
        """Characters a window covers: L of context and the last target."""
        return self.context_length + 1

    @property
    def steps_per_epoch(self) -> int:
        """Full batches in one pass over the text."""
        return self._windows // self.batch_size

    @property
    def targets_per_step(self) -> int:
        """Characters predicted in one step: B, or B * L with every position."""
        return self.batch_size * (1 if self.positions == "last" else self.context_length)

    def starts(self, step: int) -> Starts:
        """Return the first position of each window of a step, (B,) int64.

        Args:
            step: Counted from 0 over the whole run.
        """
        epoch, batch = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            self._shuffle(epoch)
        first = batch * self.batch_size
        chosen = self._order[first : first + self.batch_size].astype(np.int64)
        starts: Starts = self._phase + chosen * self._stride  # (B,)
        return starts

    def _shuffle(self, epoch: int) -> None:
        # Raw bits and a stable sort: numpy keeps these the same for ever, but not its shuffles.
        bits = np.random.PCG64([self.seed, epoch])
        self._phase = int(bits.random_raw()) % self._phases
        order = np.argsort(bits.random_raw(self._windows), kind="stable")  # (windows,)
        self._order = order.astype(np.min_scalar_type(self._windows))
        self._epoch = epoch


def heldout_windows(heldout_length: int, context_length: int) -> Starts:
    """Return the starts of all windows of the held-out text, (M - L,) int64.

    Every held-out character with L characters of held-out context before it is a target once;
    none is predicted from the training text.

    Raises:
        DataError: The text is no longer than one context.
    """
    if heldout_length <= context_length:
        why = f"the held-out text has {heldout_length} characters"
        raise DataError(
            "model.context_length", context_length, f"at most {heldout_length - 1}", why
        )
    return np.arange(heldout_length - context_length, dtype=np.int64)
