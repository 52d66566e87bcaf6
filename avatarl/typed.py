"""Numbers that are typed beside the configuration: in a command's options, in the environment."""

from __future__ import annotations

import math

from avatarl.errors import ConfigError


def read_number(
    key: str,
    word: str,
    valid: str,
    *,
    kind: type[int] | type[float] = float,
    least: float = 0,
    most: float = math.inf,
) -> int | float:
    """Read a number that was typed; out of bounds, or infinite, it is refused.

    Args:
        key: What it was typed for.
        word: What was typed.
        valid: What would have been accepted, in words.
        kind: Whole numbers, or all.
        least: The smallest that is taken.
        most: The largest.

    Raises:
        ConfigError: It can't be used.
    """
    try:
        value = kind(word)
    except ValueError:
        value = math.nan
    if not least <= value <= most or value == math.inf:
        raise ConfigError(key, word, valid)
    return value
