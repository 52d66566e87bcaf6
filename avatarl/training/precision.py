"""What networks multiply in, and whether that pays on a device.

A processor without bf16 arithmetic of its own computes in bf16 all the same, up to a hundred times
as slowly as in fp32. One product tells.
"""

from __future__ import annotations

import functools
import logging
import time

import torch

from avatarl.training.compiled import Remarks
from avatarl.training.device import wait_for

_TIMES = 5
_NOTICEABLE = 1.2


def precision_of(setting: str, device: torch.device, remarks: Remarks) -> torch.dtype | None:
    """Return what ``trainer.precision`` stands for, or None; tell ``remarks`` if it costs time."""
    if setting == "fp32":
        return None
    if not torch.amp.is_autocast_available(device.type):
        line = f"not to be had on {device.type}: fp32 instead"
        remarks.append((logging.WARNING, f"trainer.precision=bf16: {line}"))
        return None
    factor = slowdown(device)
    if factor > _NOTICEABLE:
        where = "processor" if device.type == "cpu" else "GPU"
        line = f"products take {factor:.1f} times as long as in fp32 on this {where}"
        remarks.append((logging.WARNING, f"trainer.precision=bf16: {line}"))
    return torch.bfloat16


@functools.cache
def slowdown(device: torch.device) -> float:
    """Time a matrix product in bf16 over one in fp32, the least of a few each."""
    size = 256 if device.type == "cpu" else 2048  # some tenths of a millisecond either way
    wide = torch.ones(size, size, device=device)
    return _seconds(wide.bfloat16()) / _seconds(wide)


def _seconds(matrix: torch.Tensor) -> float:
    taken = []
    for _ in range(1 + _TIMES):
        before = time.perf_counter()
        matrix @ matrix
        wait_for(matrix.device)
        taken.append(time.perf_counter() - before)
    return min(taken[1:])
