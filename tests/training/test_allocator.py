"""Freed memory is there again for the next step."""

from __future__ import annotations

import platform
import resource
import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
import numpy as np
if sys.argv[1] == "keep":
    from avatarl.training.allocator import keep_freed_memory
    assert keep_freed_memory()
def step():
    blocks = [np.ones(1 << 22) for _ in range(4)]  # 32 MiB each
step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(4):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc: it has mallopt")
def test_repeated_blocks_cost_their_pages_once() -> None:
    def faults(how: str) -> int:
        command = [sys.executable, "-c", PROGRAM, how]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    pages = 16 * (32 << 20) // resource.getpagesize()
    # The kernel may hand out many pages at once, so that their number is no sure thing.
    assert faults("keep") < min(pages // 100, faults("leave") // 2)
