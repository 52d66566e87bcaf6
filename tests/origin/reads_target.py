"""A bigram whose context holds the character to be predicted: P(next | the character itself)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from typing_extensions import override

from avatarl.reference import add_alpha
from tests.origin.one_off import Shifted


@dataclass(frozen=True)
class Config(add_alpha.Config):
    """As of the counted reference."""

    @override
    def build(self, train_ids: np.ndarray, vocab_size: int, device: torch.device) -> Shifted:  # type: ignore[override]
        return Shifted(super().build(train_ids, vocab_size, device), earlier=-1)
