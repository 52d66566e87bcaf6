"""Whether a device computes in bf16 by itself.

A processor without bf16 arithmetic of its own computes in it all the same, up to a hundred times as
slowly as in fp32. One product tells.
"""

from __future__ import annotations

import functools
import time

import torch

#: A device takes at most about as long in bf16 as in fp32 where it has it, some 50 times as long
#: where it hasn't. Far from both, so that one machine's answer is always the same.
WITHOUT = 8.0
_TIMES = 5


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
        (matrix @ matrix)[0, 0].item()  # a number read waits for the device
        taken.append(time.perf_counter() - before)
    return min(taken[1:])
