"""Names that users give, of which files, jobs and folders are named."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from avatarl.errors import ConfigError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")


def check_name(key: str, value: object) -> str:
    """Return a name that can stand in a path, a job's name and a script.

    Raises:
        ConfigError: It is empty, too long, or has other characters.
    """
    if isinstance(value, str) and _NAME.fullmatch(value):
        return value
    valid = "1 to 100 letters, digits and . _ + -, beginning with a letter or digit"
    raise ConfigError(key, value, valid, "it names a folder")


def check_words(key: str, value: str, longest: int, least: int = 1) -> None:
    """Refuse text for people that has control characters, or isn't within its bounds.

    Args:
        key: Full dotted key.
        value: What was received.
        longest: In bytes of UTF-8.
        least: In characters.

    Raises:
        ConfigError: It can't be used.
    """
    size = len(value.encode("utf-8", "surrogatepass"))
    if not (value.isprintable() and len(value.strip()) >= least and size <= longest):
        valid = f"{least} to {longest} bytes of text on one line, without control characters"
        raise ConfigError(key, value, valid)


def resolved_word(word: str, value_of: Callable[[str], Any]) -> str:
    """Return an override as a label: a value that refers to other keys by what it came to.

    Args:
        word: ``optimizer.lr=${objective.kl_coef}``, for instance.
        value_of: Gives the value that a key has in the run.
    """
    key, equals, value = word.partition("=")
    if "$" not in value:
        return word
    found = value_of(key.lstrip("+"))
    return word if found is None else f"{key}{equals}{found}"
