"""Standard output and error, of which no work depends; and text of users, printed as it is.

A reader may leave, a terminal may be closed, a disk that takes the output may be full, an encoding
may lack a character: what can't be shown then is left out, and whoever printed it goes on.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import select
import signal
import sys
from typing import TYPE_CHECKING, Any, TextIO

from avatarl.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console, RenderableType

_STDOUT, _STDERR = 1, 2
#: What a file says that will take nothing any more. A full disk may have room again.
_GONE = frozenset({errno.EPIPE, errno.EIO, errno.EBADF, errno.ENXIO, errno.ENOTCONN})

# Descriptors whose readers have left.
_gone: set[int] = set()


class _Unfailing(io.FileIO):
    """Drops what its descriptor won't take."""

    def write(self, data: Any) -> int:
        size = memoryview(data).nbytes
        try:
            written = super().write(data)
        except OSError as error:
            if error.errno in _GONE:
                _gone.add(self.fileno())
            return size
        if written is None:  # made non-blocking by whoever shares the terminal
            with contextlib.suppress(OSError):
                select.select([], [self], [])
            return self.write(data)
        return written


def secure() -> None:
    """Make printing harmless for this process, whatever becomes of its output.

    A descriptor that was closed is opened on the null device: the next file to be opened would get
    its number, and all that is printed. Streams that somebody put in place of Python's own (a test,
    a notebook) stay.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:
                os.dup2(null, number)
                os.close(null)
            # Or processes started from here would find it closed, and take it for what they open.
            os.set_inheritable(number, True)
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115, PTH123
    if sys.stdout is None or sys.stdout is sys.__stdout__:
        sys.stdout = _unfailing(sys.stdout, _STDOUT)
    if sys.stderr is None or sys.stderr is sys.__stderr__:
        sys.stderr = _unfailing(sys.stderr, _STDERR)


def _unfailing(stream: TextIO | None, number: int) -> TextIO:
    with contextlib.suppress(OSError, AttributeError):
        stream.flush()  # type: ignore[union-attr]
    return io.TextIOWrapper(
        io.BufferedWriter(_Unfailing(number, "w", closefd=False)),
        encoding=getattr(stream, "encoding", None) or "utf-8",
        errors="backslashreplace",
        line_buffering=number == _STDERR or bool(getattr(stream, "line_buffering", False)),
        write_through=bool(getattr(stream, "write_through", False)),
    )


def outlive() -> None:
    """Go on when the terminal is closed: for work, not for what only shows something."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def reader_left() -> bool:
    """Whether nobody reads standard output any more."""
    if _STDOUT in _gone:
        return True
    poll = select.poll()
    poll.register(_STDOUT, 0)  # only what is told unasked: no reader, no terminal, no file
    return bool(poll.poll(0))


def console(stderr: bool = False) -> Console:
    """Make a console that prints text as it is: no markup, no names of emoji, no colours of ours.

    What is meant to have a style says so by :class:`rich.text.Text` or ``style=``.
    """
    from rich.console import Console

    return Console(stderr=stderr, markup=False, emoji=False, highlight=False)


def redraws(console: Console) -> bool:
    """Whether what was drawn can be drawn again: on a terminal, and in a notebook."""
    return console.is_terminal or console.is_jupyter


def end_line(console: Console) -> None:
    """End the last line of a live screen, which rich leaves open in files and pipes."""
    if not redraws(console):
        console.print()


@contextlib.contextmanager
def live(console: Console) -> Iterator[Callable[[RenderableType], None]]:
    """Draw over and over in one place, which is left empty; nothing where that can't be done.

    Drawn when asked only: a thread that draws as well would leave stale lines when others are
    printed and the number of lines changes.
    """
    if console.is_jupyter:
        from avatarl import notebook

        draw = notebook.place()
        try:
            yield draw
        finally:
            draw(None)
    elif console.is_terminal:
        from rich.live import Live

        with Live(console=console, auto_refresh=False, transient=True) as screen:
            yield lambda drawn: screen.update(drawn, refresh=True)
    else:
        yield lambda drawn: None


def say(console: Console, line: str, style: str = "") -> None:
    """Print a line as it is, however long, so that it can be copied."""
    from rich.text import Text

    console.print(Text(printable(line, keep="\n\t"), style=style), soft_wrap=True, highlight=False)
