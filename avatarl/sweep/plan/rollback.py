"""Undoing what a launch has written, should it be refused after all."""

from __future__ import annotations

import contextlib
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

Mark = tuple[int, int] | None


class Rollback:
    """A context that leaves nothing behind when it is left by an exception.

    Whoever writes registers what is written; leaving by an exception undoes it, latest first.
    """

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Rollback:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self._stack.pop_all()
        self._stack.close()

    def call(self, function: Callable[[], object]) -> None:
        """Call ``function``, to undo what isn't a file."""
        self._stack.callback(function)

    def directory(self, path: Path) -> None:
        """Remove a directory made for this launch alone, with everything in it."""
        self._stack.callback(_remove, path)

    def shared(self, path: Path, mark: Mark, sign: str = "") -> None:
        """Remove what other launches may share, unless one uses it by then.

        Args:
            path: A file or directory that was made for this launch.
            mark: Of the sign as this launch made it.
            sign: Name of the file in that directory that whoever uses it touches; empty for a
                file, which whoever uses it writes anew.
        """
        self._stack.callback(remove_unused, path, mark, sign)


def mark_of(path: Path) -> Mark:
    """What tells a file from one written or touched later; stays as the file is moved."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


def remove_unused(path: Path, mark: Mark, sign: str = "") -> None:
    """Remove what :meth:`Rollback.shared` tells of, unless somebody uses it by now."""
    if mark is None or mark_of(path / sign) != mark:
        return
    # Out of the way first, so that nobody begins to use it between the look and the removal.
    aside = path.with_name(f".unused-{uuid.uuid4().hex}")
    with contextlib.suppress(OSError):
        path.rename(aside)
        if mark_of(aside / sign) == mark:
            _remove(aside)
        elif not path.exists():
            aside.rename(path)
    remove_empty(path.parent)


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    remove_empty(path.parent)


def remove_empty(directory: Path) -> None:
    """Remove a directory if nothing is in it."""
    with contextlib.suppress(OSError):
        directory.rmdir()
