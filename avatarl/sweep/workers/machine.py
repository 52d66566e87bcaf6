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
    asked = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False)
    lines = asked.stdout.splitlines() if asked.returncode == 0 else []
    return tuple(str(n) for n, line in enumerate(lines) if line.startswith("GPU "))


def slots(workers: int | str, runs: int) -> list[Slot]:
    """Share the machine out.

    Args:
        workers: Number of worker processes, or ``"auto"``: one a GPU, else one a core.
        runs: No more slots than runs.

    Raises:
        ConfigError: ``workers`` is neither ``auto`` nor a number above zero.
    """
    found = gpus()
    if workers == "auto":
        count = len(found) or cores()
    else:
        try:
            count = int(workers)
        except ValueError:
            count = 0
        if count < 1:
            raise ConfigError("hydra.launcher.workers", workers, "a number >= 1, or auto")
    return share(count, runs, found)


def share(count: int, runs: int, found: Sequence[str]) -> list[Slot]:
    """Make ``count`` slots, no more than ``runs``; GPUs are dealt round, cores shared out."""
    count = max(1, min(count, runs))
    threads = max(1, cores() // count)
    return [Slot(found[n % len(found)] if found else None, threads) for n in range(count)]
