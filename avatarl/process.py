"""What every command does to its own process before anything else."""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import sys
import time
from pathlib import Path

from avatarl import terminal

#: The command that computes, as ``sys.argv`` names it.
RUN = "avatarl run"


def prepare_process() -> None:
    """Let nothing created here be writable by everybody, and nothing printed end the process."""
    terminal.secure()
    os.umask(os.umask(0o022) | 0o002)
    # What Apple's GPUs can't do is done by the processor, and torch says so; read as torch loads.
    os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")
    # A thread that waits for the others spins; by default until its core is taken away, which on a
    # busy machine costs a step thirty times its time. Read as torch loads.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "20000")
    # A module of one's own beside one's runs can be an option (``kind: focal``, ``--plots mine``).
    with contextlib.suppress(FileNotFoundError):  # the folder was removed meanwhile
        if not {"", here := str(Path.cwd())} & set(sys.path):
            sys.path.append(here)
    # Python's last look for garbage walks all that torch has made: half a second for nothing.
    atexit.register(gc.freeze)


def program() -> str:
    """What runs and sweeps were asked of: ``avatarl run``, or ``python run.py``."""
    script = Path(sys.argv[0]).name
    is_file = script.endswith(".py") and script != "__main__.py"
    return f"python {script}" if is_file else RUN


def command_line() -> tuple[str, ...]:
    """The command that started this process, as one could type it again."""
    script = Path(sys.argv[0])
    if program() != RUN:
        return ("python", os.path.relpath(script), *sys.argv[1:])
    name = "avatarl" if script.name == "__main__.py" else script.name
    return (*name.split(), *sys.argv[1:])


def consumed() -> tuple[float, int]:
    """Return this process's processor time so far, in seconds, and its most memory, in bytes."""
    try:
        # Not getrusage, which on Linux begins with what the parent had when it forked.
        status = Path("/proc/self/status").read_text(encoding="utf-8", errors="replace")
        peak = int(status.partition("VmHWM:")[2].split()[0]) * 1024
    except (OSError, ValueError, IndexError):
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        peak *= 1 if sys.platform == "darwin" else 1024
    return round(time.process_time(), 3), peak
