"""How a run ends other than with a result."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from avatarl.tracking.base import Ending


class Interrupted(Exception):
    """A run was asked to stop; it left a checkpoint and goes on when started again."""

    ended: ClassVar[Ending] = "interrupted"

    def __init__(self, directory: Path, step: int) -> None:
        super().__init__(f"interrupted after step {step}; {directory} holds a checkpoint")
        self.directory, self.step = directory, step

    def __reduce__(self) -> tuple[type[Interrupted], tuple[Path, int]]:
        """Survive the way between processes."""
        return type(self), (self.directory, self.step)


class Paused(Interrupted):
    """A run was put down at a step that was asked for."""

    ended = "paused"


class Diverged(Exception):
    """The loss or gradient is no longer finite."""


class Stopped(Exception):
    """An alarm was raised whose action is to stop."""
