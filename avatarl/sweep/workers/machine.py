"""What this machine (or this SLURM job) offers: cores and GPUs, found without importing torch."""

from __future__ import annotations

import contextlib
import functools
import itertools
import math
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from avatarl.errors import ConfigError, in_short
from avatarl.sweep.workers.slot import Slot

#: What hides GPUs from a process. ROCR's hides them from HIP too, which counts what is left.
CUDA, HIP, ROCR = "CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"
_CGROUP = Path("/sys/fs/cgroup")
_KFD = Path("/sys/class/kfd/kfd/topology/nodes")
_NVIDIA_SMI = "nvidia-smi"
#: How a GPU is named: by its number, or by (the beginning of) what identifies it or a slice of it.
_NAME = re.compile(r"\d+(:\d+)?|(GPU|MIG)-\S+")
#: A GPU with less free is full, in MiB.
_FULL_MIB = 1024


def cores() -> int:
    """CPU cores this process, or this SLURM job, may use; a container's quota counts."""
    for name in ("SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE"):
        if os.environ.get(name, "").isdigit():
            return max(1, int(os.environ[name]))
    affine = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, math.floor(min(affine or 1, _quota())))


def _quota() -> float:
    """CPU time that control groups allow, in cores: the least of all groups we are in."""
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    least = math.inf
    for controllers, path in [line.split(":", 2)[1:] for line in lines if line.count(":") >= 2]:
        names = controllers.split(",")
        if controllers and "cpu" not in names:
            continue
        root = _CGROUP / (controllers and "cpu")
        here = root / path.lstrip("/")
        # In a container the path may be the host's: its own group is then at the root.
        for group in {root, here, *(up for up in here.parents if up.is_relative_to(root))}:
            least = min(least, _limit(group))
    return least


def _limit(group: Path) -> float:
    try:
        if (group / "cpu.max").exists():
            quota, period = (group / "cpu.max").read_text(encoding="ascii").split()
        else:
            names = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
            quota, period = ((group / name).read_text(encoding="ascii") for name in names)
        return max(1.0, int(quota) / int(period)) if int(quota) > 0 else math.inf
    except (OSError, ValueError, ZeroDivisionError):  # no quota: "max", or no such file
        return math.inf


def gpus(environment: Mapping[str, str] | None = None) -> list[str]:
    """GPUs this process may use, as CUDA_VISIBLE_DEVICES (HIP's for AMD) names them."""
    variables = os.environ if environment is None else environment
    for name in (CUDA, HIP):
        if name in variables:
            return _named(variables[name])
    if ROCR in variables:
        return [str(number) for number, _ in enumerate(_named(variables[ROCR]))]
    return list(_all_gpus())


def _named(visible: str) -> list[str]:
    # The runtime itself stops at the first name that is none: -1, nothing, SLURM's NoDevFiles.
    names = (name.strip() for name in visible.split(","))
    return list(itertools.takewhile(_NAME.fullmatch, names))


@functools.cache
def _all_gpus() -> tuple[str, ...]:
    if shutil.which(_NVIDIA_SMI) is None:
        return _amd_gpus()
    found: list[str] = []
    for line in (_nvidia_smi("-L")[0] or "").splitlines():
        slice_of_gpu = re.search(r"UUID: (MIG-[^)]*)", line)
        if line.startswith("GPU ") and "UUID" in line:
            found.append(line[4:].partition(":")[0])
        elif slice_of_gpu:
            # Of a divided GPU only the slices can be used; its own line comes before theirs.
            if found and not found[-1].startswith("MIG-"):
                found.pop()
            found.append(slice_of_gpu.group(1))
    return tuple(found)


def _amd_gpus() -> tuple[str, ...]:
    count = 0
    for properties in _KFD.glob("*/properties"):
        with contextlib.suppress(OSError):
            count += bool(re.search(r"^simd_count [1-9]", properties.read_text(), re.MULTILINE))
    return tuple(map(str, range(count)))


def _nvidia_smi(*arguments: str) -> tuple[str | None, str]:
    """What it says, or None and why not."""
    try:
        done = subprocess.run(
            [_NVIDIA_SMI, *arguments], capture_output=True, text=True, check=False, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return None, in_short(error)
    if done.returncode:
        return None, ((done.stdout + done.stderr).strip().splitlines() or ["no reason told"])[0]
    return done.stdout, ""


def gpu_problems(device: str = "auto") -> list[str]:
    """What is wrong with the GPUs of this process, one line each: none answers, broken, full.

    Args:
        device: What is to be computed on, as in ``trainer.device``.
    """
    if device == "cpu" or shutil.which(_NVIDIA_SMI) is None:
        return []
    if CUDA in os.environ and not gpus():
        return []  # none is wanted
    fields = "index,uuid,memory.free,memory.total"
    told, why = _nvidia_smi(f"--query-gpu={fields}", "--format=csv,noheader,nounits")
    if told is None:
        return [f"GPUs can't be used, {_NVIDIA_SMI} fails: {why}"]
    wanted = gpus()
    problems = []
    for line in told.splitlines():
        cells = [cell.strip() for cell in line.split(",")]
        index, uuid = [*cells, "", ""][:2]
        if not any(index == name or (uuid and uuid.startswith(name)) for name in wanted):
            continue
        if len(cells) < 4 or not cells[2].isdigit():
            problems.append(f"GPU {index} seems to be broken: {_NVIDIA_SMI} says {line.strip()!r}")
        elif int(cells[2]) < _FULL_MIB:
            free, total = int(cells[2]) / 1024, int(cells[3]) / 1024
            problems.append(f"GPU {index} is full: {free:.1f} of {total:.1f} GiB are free")
    return problems


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
