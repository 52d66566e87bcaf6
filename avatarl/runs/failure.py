"""``failure.json``: why a run went no further, as whoever noticed it first wrote it down."""

from __future__ import annotations

import contextlib
import socket
import time
from pathlib import Path

from avatarl.files import read_json, write_json


def write(directory: Path, run_id: str, name: str, error: str, traceback: str) -> None:
    """Write down what ended the run in ``directory``.

    Args:
        directory: Of the run.
        run_id: Its identity.
        name: Its name.
        error: What went wrong; the first line is what tables show.
        traceback: Whole, or empty where there is none.

    Raises:
        OSError: The directory can't be written.
    """
    step = None
    with contextlib.suppress(OSError, ValueError, AttributeError):
        step = read_json(directory / "progress.json").get("step")
    content = {
        "run_id": run_id,
        "name": name,
        "error": error,
        "traceback": traceback,
        "step": step,
        "host": socket.gethostname(),
        "time": time.time(),
    }
    write_json(directory / "failure.json", content)


def moment(directory: Path) -> float | None:
    """When the run in ``directory`` last failed, in Unix seconds; ``None``: not, or illegible."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        return float(read_json(directory / "failure.json")["time"])
    return None


def reason(directory: Path) -> str:
    """Why it failed, in one line; empty where that isn't told."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, IndexError):
        return str(read_json(directory / "failure.json")["error"]).splitlines()[0]
    return ""
