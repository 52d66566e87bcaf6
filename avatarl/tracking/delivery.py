"""What wandb's server has of a run, as far as is known here; needs neither wandb nor a network.

A run that has never been near the server can be uploaded from its offline files by ``wandb sync``.
Any other must be continued there instead: ``wandb sync`` would append what is there already.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

from avatarl.errors import unwritable
from avatarl.files import read_object, write_json

State = Literal["never", "owed", "complete"]
_NOTE = Path("wandb") / "delivery.json"


def state(directory: Path) -> State:
    """How far a run has got to the server, which may have a part of one that is ``owed``."""
    if not (directory / _NOTE).exists():
        return "owed" if any(directory.glob("wandb/run-*")) else "never"
    known = _noted(directory).get("state")
    return known if known in ("never", "complete") else "owed"


def note(directory: Path, reached: State, log_bytes: int | None = None) -> None:
    """Write down how far a run has got, and how much of its log."""
    _write(directory, state=reached, **({} if log_bytes is None else {"log_bytes": log_bytes}))


def log_sent(directory: Path) -> int:
    """How many bytes of the run's log the server has, as far as is known."""
    found = _noted(directory).get("log_bytes")
    return found if isinstance(found, int) else 0


def name(directory: Path, wandb_id: str) -> None:
    """Write down which wandb run a run is, where that isn't its own id."""
    _write(directory, wandb_id=wandb_id)


def wandb_id(directory: Path) -> str | None:
    """Which wandb run a run is, where that was written down."""
    found = _noted(directory).get("wandb_id")
    return found if isinstance(found, str) else None


def place(configured: str | None) -> Path | None:
    """The folder for wandb's files that is asked for, by ``tracking.dir`` or WANDB_DIR."""
    elsewhere = configured or os.environ.get("WANDB_DIR")
    return Path(elsewhere).expanduser().absolute() if elsewhere else None


def settle(directory: Path, wandb_id: str, configured: str | None = None) -> Path:
    """Return the folder that wandb's files of a run go to: the one asked for, or the run's own.

    What isn't the run's own is written down, so that the files are found without being told.
    """
    elsewhere = place(configured)
    if elsewhere is None:
        return directory
    try:
        elsewhere.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        key = "tracking.dir" if configured else "WANDB_DIR"
        raise unwritable(key, elsewhere, error) from error
    _write(directory, state=state(directory), dir=str(elsewhere), run_id=wandb_id)
    return elsewhere


def offline(directory: Path) -> list[Path]:
    """Folders of a run's offline wandb runs, wherever they were put."""
    noted = _noted(directory)
    folder, run_id = noted.get("dir"), noted.get("run_id")
    if isinstance(folder, str) and isinstance(run_id, str):  # shared with other runs
        return sorted(Path(folder).glob(f"wandb/offline-run-*-{run_id}"))
    return sorted(directory.glob("wandb/offline-run-*"))


def _noted(directory: Path) -> dict[str, Any]:
    return read_object(directory / _NOTE)


def _write(directory: Path, **changes: str | int) -> None:
    (directory / _NOTE).parent.mkdir(exist_ok=True)
    write_json(directory / _NOTE, {**_noted(directory), **changes})


def waiting(directory: Path) -> list[Path]:
    """Folders of offline wandb runs that aren't marked as uploaded."""
    return [folder for folder in offline(directory) if not any(folder.glob("*.synced"))]


def is_left(directory: Path) -> bool:
    """Whether anything of a run is meant for the server and not known to be there."""
    return bool(waiting(directory)) or ((directory / _NOTE).exists() and state(directory) == "owed")
