"""Checkpoints: everything a run needs to go on bit for bit, whole or absent.

``checkpoint-<step>.safetensors`` holds the tensors, ``checkpoint-<step>.json`` the plain numbers
and the tensors' sha256. The JSON is written last: a pair counts only if it is complete and true.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from typing import IO, Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from avatarl.files import read_object, replace_atomically, write_json
from avatarl.runs import ownership
from avatarl.runs.folder import RunFolder

log = logging.getLogger("avatarl")


def write_checkpoint(
    folder: RunFolder, step: int, tensors: Mapping[str, Tensor], numbers: Mapping[str, Any]
) -> None:
    """Write one checkpoint.

    Args:
        folder: The run's.
        step: Steps done.
        tensors: By name.
        numbers: JSON values.

    Raises:
        OSError: Disk full or not writable; earlier checkpoints are untouched.
    """
    folder.stamp()
    # Tied or strided tensors would share memory in the file; each is stored on its own.
    raw = save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})

    def write(file: IO[bytes]) -> None:
        file.write(raw)

    weights, description = folder.checkpoint(step)
    replace_atomically(weights, write)
    content = {"step": step, "sha256": hashlib.sha256(raw).hexdigest(), "numbers": dict(numbers)}
    content |= folder.stamp()
    write_json(description, content)


def read_latest(folder: RunFolder) -> tuple[int, dict[str, Tensor], dict[str, Any]] | None:
    """Read the newest checkpoint that is whole; damaged ones are named and passed over.

    Returns:
        Step, tensors (on the CPU), numbers; None if there is none.
    """
    for step in reversed(folder.checkpoint_steps()):
        weights, description = folder.checkpoint(step)
        problems: list[str] = []
        content = read_object(description, problems)
        try:
            raw = weights.read_bytes()
        except OSError as error:
            problems.append(f"{weights} can't be read ({error})")
        else:
            if ownership.superseded(folder, content.get("claim"), step):
                continue
            if content and hashlib.sha256(raw).hexdigest() == content.get("sha256"):
                return step, load(raw), content["numbers"]
            problems.append(f"{weights} isn't what was stored")
        log.warning("the checkpoint of step %d is damaged: %s", step, problems[0])
    return None


def prune(folder: RunFolder, keep: int) -> None:
    """Delete all but the newest ``keep`` checkpoints."""
    folder.stamp()
    for step in folder.checkpoint_steps()[:-keep]:
        weights, description = folder.checkpoint(step)
        # The description goes first, so that what is left never looks whole.
        description.unlink(missing_ok=True)
        weights.unlink(missing_ok=True)


def pack_optimizers(optimizers: list[torch.optim.Optimizer]) -> dict[str, Tensor]:
    """Flatten the optimisers' memory to named tensors."""
    packed = {}
    for index, optimizer in enumerate(optimizers):
        for place, memory in optimizer.state_dict()["state"].items():
            for key, value in memory.items():
                packed[f"optimizer.{index}.{place}.{key}"] = torch.as_tensor(value)
    return packed


def unpack_optimizers(
    optimizers: list[torch.optim.Optimizer], tensors: Mapping[str, Tensor]
) -> None:
    """Give the optimisers back what :func:`pack_optimizers` took."""
    for index, optimizer in enumerate(optimizers):
        content = optimizer.state_dict()
        memory: dict[int, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            head, _, rest = name.partition(f"optimizer.{index}.")
            if head or not rest:
                continue
            place, key = rest.split(".", 1)
            memory.setdefault(int(place), {})[key] = value
        content["state"] = memory
        optimizer.load_state_dict(content)
