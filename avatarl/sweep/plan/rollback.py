"""Undoing what a launch has written, should it be refused after all."""

from __future__ import annotations

import contextlib
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from types import TracebackType


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

    def file(self, path: Path) -> None:
        """Restore a file's present content, or its absence; call this before writing it."""
        try:
            content = path.read_bytes()
        except OSError:
            self._stack.callback(_remove, path)
        else:
            self._stack.callback(_restore, path, content)

    def directory(self, path: Path) -> None:
        """Remove a directory made for this launch alone, with everything in it."""
        self._stack.callback(_remove, path)

    def shared(self, path: Path, sign: str = "") -> None:
        """Remove what other launches may share, unless one uses it by then.

        Args:
            path: A file or directory, just made.
            sign: Name of the file in that directory that whoever uses it touches; empty for a
                file, which whoever uses it writes anew.
        """
        self._stack.callback(_remove_unused, path, sign, _mark(path / sign))


def _mark(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


def _remove_unused(path: Path, sign: str, mark: tuple[int, int] | None) -> None:
    # Out of the way first, so that nobody begins to use it between the look and the removal.
    aside = path.with_name(f".unused-{uuid.uuid4().hex}")
    with contextlib.suppress(OSError):
        path.rename(aside)
        if _mark(aside / sign) == mark:
            _remove(aside)
        elif not path.exists():
            aside.rename(path)
    _remove_empty(path.parent)


def _restore(path: Path, content: bytes) -> None:
    with contextlib.suppress(OSError):
        path.write_bytes(content)


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    _remove_empty(path.parent)


def _remove_empty(directory: Path) -> None:
    with contextlib.suppress(OSError):
        directory.rmdir()
