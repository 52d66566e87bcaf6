"""What wandb's server has of a run, as far as is known here; needs neither wandb nor a network.

A run that has never been near the server can be uploaded from its offline files by ``wandb sync``.
Any other must be continued there instead: ``wandb sync`` would append what is there already.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from avatarl.files import read_json, write_json

State = Literal["never", "owed", "complete"]
_NOTE = Path("wandb") / "delivery.json"


def state(directory: Path) -> State:
    """How far a run has got to the server, which may have a part of one that is ``owed``."""
    try:
        known = read_json(directory / _NOTE)["state"]
    except FileNotFoundError:
        return "owed" if any(directory.glob("wandb/run-*")) else "never"
    except (ValueError, KeyError, TypeError):
        return "owed"
    return "complete" if known == "complete" else "owed"


def note(directory: Path, reached: State) -> None:
    """Write down how far a run has got."""
    (directory / _NOTE).parent.mkdir(exist_ok=True)
    write_json(directory / _NOTE, {"state": reached})


def waiting(directory: Path) -> list[Path]:
    """Folders of offline wandb runs that aren't marked as uploaded."""
    folders = sorted(directory.glob("wandb/offline-run-*"))
    return [folder for folder in folders if not any(folder.glob("*.synced"))]


def is_left(directory: Path) -> bool:
    """Whether anything of a run is meant for the server and not known to be there."""
    return bool(waiting(directory)) or ((directory / _NOTE).exists() and state(directory) == "owed")
