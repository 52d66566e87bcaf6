"""No reference: the text itself is the only signal."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from typing_extensions import override

from avatarl.reference import base


@dataclass(frozen=True)
class Config(base.Config):
    """Nothing to set."""

    @property
    @override
    def available(self) -> bool:
        return False

    @override
    def build(self, train_ids: np.ndarray, vocab_size: int, device: torch.device) -> None:
        return None
