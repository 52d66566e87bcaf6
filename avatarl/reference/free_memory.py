"""Refuse work that wouldn't fit before it starts."""

from __future__ import annotations

from pathlib import Path

import psutil
import torch

from avatarl.errors import ConfigError

_CGROUP = Path("/sys/fs/cgroup")


def free_memory(device: torch.device | None = None) -> int:
    """Count the bytes this process may still take: of the machine, and of its job's limit.

    Args:
        device: A GPU whose own memory is meant; one that shares the machine's is as none.
    """
    if _has_its_own(device):
        return int(torch.get_device_module(device).mem_get_info(device)[0])
    free = int(psutil.virtual_memory().available)
    try:
        limit = (_CGROUP / "memory.max").read_text().strip()
        used = int((_CGROUP / "memory.current").read_text())
    except (OSError, ValueError):
        return free
    return free if limit == "max" else min(free, max(0, int(limit) - used))


def require_memory(
    needed: int, key: str, value: object, what: str, device: torch.device | None = None
) -> None:
    """Go on only if ``needed`` bytes are free.

    Args:
        needed: Bytes.
        key: Configuration key that decides how many.
        value: What it was set to.
        what: What the memory is for.
        device: Where; the machine's own memory unless it is a GPU.

    Raises:
        ConfigError: They aren't free; names ``key``, ``value`` and ``what``.
    """
    free = free_memory(device)
    if needed > free:
        place = f" on {device}" if _has_its_own(device) else ""
        raise ConfigError(
            key,
            value,
            "a lower one, or a machine with more memory",
            f"{what} would take {needed / 2**30:,.1f} GiB and {free / 2**30:,.1f} GiB are free"
            f"{place}",
        )


def _has_its_own(device: torch.device | None) -> bool:
    return device is not None and hasattr(torch.get_device_module(device), "mem_get_info")
