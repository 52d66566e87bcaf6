"""Whether a device computes in bf16 by itself.

A processor without bf16 arithmetic of its own computes in it all the same, up to a hundred times as
slowly as in fp32. One product tells.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable

import torch

#: A device takes at most about as long in bf16 as in fp32 where it has it, some 50 times as long
#: where it hasn't. Far from both, so that one machine's answer is always the same.
WITHOUT = 8.0
_TIMES = 5


@functools.cache
def slowdown(device: torch.device) -> float:
    """Time a matrix product in bf16 over one in fp32, the least of a few each.

    On a processor that is the time one thread computes: threads that wait for a core on a busy
    machine would make fp32 look slow, and its runs compute in another precision.
    """
    on_cpu = device.type == "cpu"
    clock = time.thread_time if on_cpu else time.perf_counter
    size = 256 if on_cpu else 2048  # some tenths of a millisecond either way
    wide = torch.ones(size, size, device=device)
    threads = torch.get_num_threads()
    if on_cpu:
        torch.set_num_threads(1)
    try:
        return _seconds(wide.bfloat16(), clock) / _seconds(wide, clock)
    finally:
        torch.set_num_threads(threads)


def _seconds(matrix: torch.Tensor, clock: Callable[[], float]) -> float:
    taken = []
    for _ in range(1 + _TIMES):
        before = clock()
        (matrix @ matrix)[0, 0].item()  # a number read waits for the device
        taken.append(clock() - before)
    return min(taken[1:])
