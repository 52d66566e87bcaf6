"""What has become of a run, read from its directory alone."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Literal

from avatarl.files import read_json
from avatarl.runs import failure

RunState = Literal["new", "done", "failed", "resumable", "running"]


def of(directory: Path) -> RunState:
    """State of the run in ``directory``.

    ``running`` means that the last thing it wrote says so; whether its process still lives is the
    ledger's business (:func:`avatarl.runs.ownership.alive`).
    """
    try:
        names = {entry.name for entry in os.scandir(directory)}
    except (FileNotFoundError, NotADirectoryError):
        return "new"
    if "result.json" in names:
        return "done"
    if "failure.json" in names and not _resumed_since_failure(directory):
        return "failed"
    if "progress.json" in names:
        with contextlib.suppress(OSError, ValueError):
            if read_json(directory / "progress.json").get("state") == "running":
                return "running"
    return "resumable" if any(name.startswith("checkpoint-") for name in names) else "new"


def _resumed_since_failure(directory: Path) -> bool:
    """Whether the run was started again after its last failure."""
    failed = failure.moment(directory)
    if failed is None:
        return False
    with contextlib.suppress(OSError, ValueError, KeyError, AttributeError):
        progress = read_json(directory / "progress.json")
        return progress.get("state") == "running" and float(progress["updated"]) > failed + 1.0
    return False
