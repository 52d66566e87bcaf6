"""What one worker process may use."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Slot:
    """What one worker process may use: ``gpu`` as CUDA_VISIBLE_DEVICES names it, CPU threads."""

    gpu: str | None
    threads: int

    def environment(self) -> dict[str, str]:
        """Environment variables of the worker process."""
        threads = str(self.threads)
        names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
        variables = dict.fromkeys(names, threads)
        # Caches that grow on purpose (corpus, tables, compiled steps) aren't a leak to restart for.
        variables["LOKY_MAX_MEMORY_LEAK_SIZE"] = "1e15"
        if self.gpu is not None:
            variables["CUDA_VISIBLE_DEVICES"] = self.gpu
            if "HIP_VISIBLE_DEVICES" in os.environ:  # which AMD's runtime heeds before CUDA's
                variables["HIP_VISIBLE_DEVICES"] = self.gpu
        return variables
