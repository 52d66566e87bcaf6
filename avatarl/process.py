"""What every command does to its own process before anything else."""

from __future__ import annotations

import atexit
import gc
import os

from avatarl import terminal


def prepare_process() -> None:
    """Let nothing created here be writable by everybody, and nothing printed end the process."""
    terminal.secure()
    os.umask(os.umask(0o022) | 0o002)
    # Python's last look for garbage walks all that torch has made: half a second for nothing.
    atexit.register(gc.freeze)
