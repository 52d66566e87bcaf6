"""What this machine (or this SLURM job) offers: cores and GPUs, found without importing torch."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence

from avatarl.errors import ConfigError
from avatarl.sweep.workers.slot import Slot


def cores() -> int:
    """CPU cores this process, or this SLURM job, may use."""
    for name in ("SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE"):
        if os.environ.get(name, "").isdigit():
            return int(os.environ[name])
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def gpus(environment: Mapping[str, str] | None = None) -> list[str]:
    """GPUs this process may use, as CUDA_VISIBLE_DEVICES names them."""
    visible = (os.environ if environment is None else environment).get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        names = [name.strip() for name in visible.split(",") if name.strip()]
        return names if names and names[0] not in ("-1", "NoDevFiles") else []
    return list(_all_gpus())


@functools.cache
def _all_gpus() -> tuple[str, ...]:
    if shutil.which("nvidia-smi") is None:
        return ()
    listing = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False)
    lines = listing.stdout.splitlines() if listing.returncode == 0 else []
    return tuple(str(n) for n, line in enumerate(lines) if line.startswith("GPU "))


def slots(workers: int | str, runs: int) -> list[Slot]:
    """Divide the machine into slots.

    Args:
        workers: Number of worker processes, or ``"auto"``: one a GPU, else one a core.
        runs: No more slots than runs.

    Raises:
        ConfigError: ``workers`` is neither ``auto`` nor a number above zero.
    """
    available = gpus()
    if workers == "auto":
        count = len(available) or cores()
    else:
        try:
            count = int(workers)
        except ValueError:
            count = 0
        if count < 1:
            raise ConfigError("hydra.launcher.workers", workers, "a number >= 1, or auto")
    return share(count, runs, available)


def share(count: int, runs: int, available: Sequence[str]) -> list[Slot]:
    """Make ``count`` slots, no more than ``runs``; they take turns on the GPUs, and share cores."""
    count = max(1, min(count, runs))
    threads = max(1, cores() // count)
    gpu_of = [available[n % len(available)] if available else None for n in range(count)]
    return [Slot(gpu, threads) for gpu in gpu_of]
