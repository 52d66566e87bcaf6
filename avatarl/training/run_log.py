"""A run's own log file, beside those of others in the same process."""

from __future__ import annotations

import contextlib
import contextvars
import logging
from collections.abc import Iterator
from pathlib import Path

log = logging.getLogger("avatarl")

_attended: contextvars.ContextVar[RunLog | None] = contextvars.ContextVar("attended", default=None)


class RunLog:
    """Writes down what is logged, except while another run is attended to.

    Args:
        path: Of the file; it is added to.
    """

    def __init__(self, path: Path) -> None:
        self._handler = logging.FileHandler(path, encoding="utf-8")
        self._handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        self._handler.addFilter(lambda record: _attended.get() in (None, self))
        log.addHandler(self._handler)

    @contextlib.contextmanager
    def attended(self) -> Iterator[None]:
        """Keep what is logged within the block out of all other runs' logs."""
        token = _attended.set(self)
        try:
            yield
        finally:
            _attended.reset(token)

    def close(self) -> None:
        """Stop writing, and close the file."""
        log.removeHandler(self._handler)
        self._handler.close()


@contextlib.contextmanager
def informed() -> Iterator[None]:
    """Let information through, not only warnings, within the block."""
    previous = log.level
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.setLevel(previous)
