"""Waiting for what must come, however busy the machine is."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

#: A guard against hanging, not a measure: enough on two cores with a load of 20.
PATIENCE_S = 600.0


def wait_until(condition: Callable[[], T], what: str, patience_s: float = PATIENCE_S) -> T:
    """Return ``condition()`` as soon as it is true.

    Raises:
        AssertionError: It wasn't within ``patience_s`` seconds.
    """
    deadline = time.monotonic() + patience_s
    while not (value := condition()):
        assert time.monotonic() < deadline, f"{what}: not within {patience_s:g} s"
        time.sleep(0.05)
    return value
