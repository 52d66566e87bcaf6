"""Faults of a file system that pass: work that is under way keeps its state in memory and waits.

A file server is restarted, a quota is raised, a mount comes back, permissions are put right: what
couldn't be written is written then. Only work under way waits (:func:`patient`); what is about to
begin is refused at once, so that a wrong folder is told before anything is queued.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
log = logging.getLogger("avatarl")

#: How long a run by hand waits; sweeps have a setting, ``hydra.launcher.storage_patience_s``.
PATIENCE_S = 600.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.25, 30.0
#: What is answered by storage that may be well again soon.
_PASSING = frozenset(
    {
        errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ESTALE, errno.EIO,
        errno.EREMOTEIO, errno.ENODEV, errno.ENXIO, errno.ENOTCONN, errno.ETIMEDOUT, errno.EBUSY,
        errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ECONNRESET, errno.ENETUNREACH, errno.ENETDOWN,
    }
)  # fmt: skip


def passes(error: BaseException | None) -> bool:
    """Whether an error may go away by itself."""
    return isinstance(error, OSError) and error.errno in _PASSING


def gone(path: Path) -> OSError:
    """Make the error for something that work relies on and that isn't there any more."""
    return OSError(errno.ESTALE, "is gone", str(path))


def told(error: BaseException) -> str:
    """Say what went wrong where."""
    if not isinstance(error, OSError) or error.strerror is None:
        return str(error)
    return f"{error.filename or 'storage'}: {error.strerror}"


def require(directory: Path) -> None:
    """Find a folder there.

    Raises:
        OSError: It is gone, or can't be seen for now.
    """
    try:
        directory.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise gone(directory) from error


@dataclass
class Patience:
    """How long faults are waited out, counted from the first of several in a row.

    Attributes:
        seconds: As long as this; 0: not at all.
        say: Told once when the waiting begins, and once when it was worth it.
    """

    seconds: float
    say: Callable[[str], object] = log.warning
    _since: float | None = field(default=None, init=False)
    _pause: float = field(default=_FIRST_PAUSE_S, init=False)

    @property
    def waits(self) -> bool:
        """Whether there was a fault that isn't over."""
        return self._since is not None

    def pause(self, error: BaseException) -> float | None:
        """Take note of a fault.

        Returns:
            Seconds until the next attempt; ``None``: it doesn't pass, or hasn't for too long.
        """
        if not passes(error):
            return None
        now = time.monotonic()
        if self._since is None:
            self._since, self._pause = now, _FIRST_PAUSE_S
            if self.seconds > 0:
                self.say(f"{told(error)}: waiting up to {self.seconds:g} s for storage")
        left = self._since + self.seconds - now
        if left <= 0:
            return None
        pause, self._pause = self._pause, min(2 * self._pause, _LONGEST_PAUSE_S)
        return min(pause, left)

    def over(self) -> None:
        """Take note that there is no fault any more."""
        if self._since is not None:
            self.say(f"storage is back after {time.monotonic() - self._since:.0f} s")
            self._since = None


@dataclass(frozen=True)
class _Work:
    seconds: float
    root: Path


_work = _Work(0.0, Path())


@contextlib.contextmanager
def patient(seconds: float, root: Path) -> Iterator[None]:
    """Wait out faults of whatever this process writes within the block.

    Args:
        seconds: How long.
        root: Folders below it are made by who claims them alone; one that vanished isn't made anew.
    """
    global _work
    before, _work = _work, _Work(seconds, root.absolute())
    try:
        yield
    finally:
        _work = before


def persist(action: Callable[[], T]) -> T:
    """Call ``action``, again while storage refuses for now.

    Raises:
        OSError: It doesn't pass, or hasn't within the patience of :func:`patient`.
    """
    patience = Patience(_work.seconds)
    while True:
        try:
            done = action()
        except OSError as error:
            pause = patience.pause(error)
            if pause is None:
                raise
            time.sleep(pause)
        else:
            patience.over()
            return done


def make_parent(path: Path) -> None:
    """Make the folder that a file goes to, except where work under way has lost it.

    Raises:
        OSError: It can't be made, or is gone.
    """
    if _work.seconds and path.absolute().is_relative_to(_work.root):
        require(path.parent)
    else:
        path.parent.mkdir(parents=True, exist_ok=True)


class Later:
    """What has to be written and mustn't keep its writer waiting: tried again now and then."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._left: list[Callable[[], object]] = []
        self._next = 0.0

    def do(self, action: Callable[[], object]) -> None:
        """Do something now, or once storage lets it."""
        self._left.append(action)
        self.again()

    def again(self) -> None:
        """Try what is left, unless it was tried a moment ago; what can't be done is given up."""
        while self._left and time.monotonic() >= self._next:
            try:
                self._left[0]()
            except OSError as error:
                pause = self._patience.pause(error)
                if pause is None:
                    self._left.pop(0)
                    continue
                self._next = time.monotonic() + pause
            else:
                self._patience.over()
                self._left.pop(0)

    def finish(self) -> None:
        """Wait until nothing is left."""
        while self._left:
            time.sleep(max(0.0, self._next - time.monotonic()))
            self.again()
