"""A bigram that is asked about the character before the last: P(next | second to last)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from typing_extensions import override

from avatarl.reference import Reference, add_alpha
from avatarl.reference.base import Reliability


@dataclass(frozen=True)
class Config(add_alpha.Config):
    """As of the counted reference."""

    @override
    def build(self, train_ids: np.ndarray, vocab_size: int, device: torch.device) -> Shifted:  # type: ignore[override]
        return Shifted(super().build(train_ids, vocab_size, device), earlier=1)


class Shifted:
    """A reference asked so many characters too early; below 0 too late, having read the label."""

    def __init__(self, reference: Reference, earlier: int) -> None:
        self.reference, self.earlier = reference, earlier
        self.order, self.vocab_size = reference.order, reference.vocab_size

    def logprobs(self, contexts: Tensor) -> Tensor:
        """Score arbitrary contexts; see ``Reference``."""
        if self.earlier > 0:
            contexts = contexts[..., : -self.earlier]
        return self.reference.logprobs(contexts)

    def reliability(self, contexts: Tensor) -> Reliability:
        """Say how well contexts are known; see ``Reference``."""
        return self.reference.reliability(contexts)

    def train_logprobs(self, positions: Tensor, history: Tensor | int | None = None) -> Tensor:
        """Score the neighbours of training positions; see ``Reference``."""
        moved = (positions - self.earlier).clamp_min(0)
        return self.reference.train_logprobs(moved, history)

    def train_reliability(
        self, positions: Tensor, history: Tensor | int | None = None
    ) -> Reliability:
        """Say how well training positions are known; see ``Reference``."""
        return self.reference.train_reliability(positions, history)

    def nbytes(self) -> int:
        """Count the bytes that look-ups need."""
        return self.reference.nbytes()
