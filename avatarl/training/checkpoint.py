"""Checkpoints: everything a run needs to go on bit for bit, whole or absent.

``checkpoint-<step>.safetensors`` holds the tensors, ``checkpoint-<step>.json`` the plain numbers,
their digest and the tensors' sha256. The JSON is written last: a pair counts only if it is complete
and true.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, Any

from safetensors.torch import load, save
from torch import Tensor

from avatarl.files import is_intact, read_object, replace_atomically, write_checked
from avatarl.runs import ownership
from avatarl.runs.folder import RunFolder

log = logging.getLogger("avatarl")


@dataclass(frozen=True)
class Checkpoint:
    """The state of a run after a step.

    Attributes:
        step: Steps done.
        tensors: By name.
        numbers: JSON values.
    """

    step: int
    tensors: Mapping[str, Tensor]
    numbers: Mapping[str, Any]


def write_checkpoint(folder: RunFolder, checkpoint: Checkpoint) -> None:
    """Write one checkpoint.

    Raises:
        OSError: Disk full or not writable; earlier checkpoints are untouched.
    """
    folder.stamp()
    # Tied or strided tensors would share memory in the file; each is stored on its own.
    stored = {name: value.detach().cpu().contiguous() for name, value in checkpoint.tensors.items()}
    raw = save(stored)

    def write(file: IO[bytes]) -> None:
        file.write(raw)

    weights, description = folder.checkpoint(checkpoint.step)
    replace_atomically(weights, write)
    content = {
        "step": checkpoint.step,
        "sha256": hashlib.sha256(raw).hexdigest(),
        "numbers": json.loads(json.dumps(dict(checkpoint.numbers))),  # as they will be read
        **folder.stamp(),
    }
    write_checked(description, content)


def read_latest(folder: RunFolder) -> Checkpoint | None:
    """Read the newest whole checkpoint, to the CPU; damaged ones are named and passed over."""
    found = (read_checkpoint(folder, step) for step in reversed(folder.checkpoint_steps()))
    return next((one for one in found if one is not None), None)


def read_checkpoint(folder: RunFolder, step: int) -> Checkpoint | None:
    """Read one checkpoint, to the CPU; None, and named, where it is damaged or superseded."""
    weights, description = folder.checkpoint(step)
    problems: list[str] = []
    content = read_object(description, problems)
    try:
        raw = weights.read_bytes()
    except OSError as error:
        problems.append(f"{weights} can't be read ({error})")
    else:
        if ownership.superseded(folder, content.get("claim"), step):
            return None
        if not is_intact(content):
            problems.append(f"{description} isn't what was stored")
        elif content and hashlib.sha256(raw).hexdigest() == content.get("sha256"):
            return Checkpoint(step, load(raw), content["numbers"])
        problems.append(f"{weights} isn't what was stored")
    log.warning("the checkpoint of step %d is damaged: %s", step, problems[0])
    return None
