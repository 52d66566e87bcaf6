"""No reference: the text itself is the only signal."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from avatarl.reference import base


@dataclass(frozen=True)
class Config(base.Config):
    """Nothing to set."""


def build(config: Config, train_ids: np.ndarray, vocab_size: int, device: torch.device) -> None:
    """Return ``None``: whoever asks for a reference learns that there is none."""
