"""What networks multiply in, and what is said where that isn't what was asked, or costs time."""

from __future__ import annotations

import logging

import torch

from avatarl.bf16 import WITHOUT, slowdown
from avatarl.training.compiled import Remarks

_NOTICEABLE = 1.2


def precision_of(setting: str, device: torch.device, remarks: Remarks) -> torch.dtype | None:
    """Return what ``trainer.precision`` stands for, None for fp32.

    A device that lacks bf16 computes in fp32 instead; that, or what bf16 costs, is added to
    ``remarks``.
    """
    if setting == "fp32":
        return None
    if not torch.amp.is_autocast_available(device.type):
        line = f"not to be had on {device.type}: fp32 instead"
        remarks.append((logging.WARNING, f"trainer.precision=bf16: {line}"))
        return None
    factor = slowdown(device)
    lacking = factor > WITHOUT
    if factor > _NOTICEABLE:
        where = "processor" if device.type == "cpu" else "GPU"
        line = f"products take {factor:.1f} times as long as in fp32 on this {where}"
        line += ": fp32 instead" if lacking else ""
        remarks.append((logging.WARNING, f"trainer.precision=bf16: {line}"))
    return None if lacking else torch.bfloat16
