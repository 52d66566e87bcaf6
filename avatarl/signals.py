"""Signals as flags: a handler only takes note, ordinary code looks when it is ready to act."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


class SignalFlag:
    """Remembers which signals have come, in order.

    Called, it says whether any has: it can be polled wherever a ``stop()`` is expected.

    Attributes:
        received: Signal numbers, oldest first.
        on_signal: Called in the handler, before the signal is remembered; safe as a handler is.
    """

    def __init__(self, on_signal: Callable[[int], None] = lambda number: None) -> None:
        self.received: list[int] = []
        self.on_signal = on_signal

    def __call__(self) -> bool:
        """Whether a signal has come."""
        return bool(self.received)

    def repeated(self) -> bool:
        """Whether a second signal has come: whoever sends it doesn't want to wait any longer."""
        return len(self.received) > 1

    @property
    def exit_code(self) -> int:
        """The shell's exit code for the latest signal: 128 plus its number; 0 before the first."""
        return 128 + self.received[-1] if self.received else 0

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Take note of a signal; to be installed by :func:`signal.signal`."""
        self.on_signal(number)
        self.received.append(number)

    def install(self, *numbers: int) -> None:
        """Take note of these signals from now on (main thread only)."""
        for number in numbers:
            signal.signal(number, self.handle)


@contextmanager
def catching(*numbers: int, flag: SignalFlag | None = None) -> Iterator[SignalFlag]:
    """Turn signals into a flag while the block runs; afterwards the former handlers are back.

    Outside the main thread, where Python allows no handlers, the flag stays as it is.

    Args:
        numbers: The signals, SIGINT and SIGTERM unless others are named.
        flag: What takes note of them.
    """
    flag = flag or SignalFlag()
    if threading.current_thread() is not threading.main_thread():
        yield flag
        return
    numbers = numbers or (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}
    flag.install(*numbers)
    try:
        yield flag
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def leaving(*numbers: int) -> Iterator[None]:
    """Let the first of these signals leave the block by an exception, so that it is undone.

    Those that follow are ignored until it is; afterwards the former handlers are back. Outside the
    main thread, where Python allows no handlers, signals do what they did.

    Args:
        numbers: SIGINT raises KeyboardInterrupt, the others SystemExit with the shell's exit code.
    """

    def leave(number: int, frame: FrameType | None) -> None:
        for one in numbers:
            signal.signal(one, signal.SIG_IGN)
        raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        for number in numbers:
            signal.signal(number, leave)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
