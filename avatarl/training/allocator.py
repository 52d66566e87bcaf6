"""Memory that a step has freed stays with the process, for the next step.

glibc hands large blocks back to the system when they are freed. Training frees and asks for the
same blocks step after step, and the system clears every page of them anew each time.

Source: mallopt(3), M_MMAP_THRESHOLD and M_TRIM_THRESHOLD.
"""

from __future__ import annotations

import ctypes
import functools

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_MMAP_BYTES = 1 << 28  # what is larger goes back: a corpus, a table of counts
_TRIM_BYTES = 1 << 30


@functools.cache
def keep_freed_memory() -> bool:
    """Keep freed memory for later; whether that can be had (glibc alone has it)."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, _MMAP_BYTES) and mallopt(_M_TRIM_THRESHOLD, _TRIM_BYTES))
