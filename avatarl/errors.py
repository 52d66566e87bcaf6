"""The errors a user can cause, and how they are told."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from avatarl.text import printable, shortened, spelled


class UserError(Exception):
    """Something the user asked for can't be done; the message is one clear line.

    The command line prints the message alone (no traceback) and exits with ``exit_code``.
    """

    exit_code = 2


class ConfigError(UserError):
    """A configuration key holds a value that can't be used.

    Args:
        key: Full dotted key, for instance ``reward.confidence_weight``.
        value: What was received.
        valid: What would have been accepted, in words.
        why: Optional reason, for combinations that are valid one by one.
    """

    def __init__(self, key: str, value: object, valid: str, why: str = "") -> None:
        self.key, self.value, self.valid, self.why = key, value, valid, why
        super().__init__(refusal(f"{shortened(key)}={spelled(value)}", valid, why))

    def __reduce__(self) -> tuple[type[ConfigError], tuple[str, object, str, str]]:
        return type(self), (self.key, self.value, self.valid, self.why)


def refusal(words: str, valid: str, why: str = "") -> str:
    """Say in one line that something typed can't be used, and what can."""
    reason = f" ({why})" if why else ""
    return printable(f"{words} can't be used{reason}; valid: {valid}")


class DataError(ConfigError):
    """The text a run should learn from can't be had or can't be used."""


def in_short(error: BaseException) -> str:
    """Tell an error in one line: its type and the first line of its message.

    Pydantic's first line only counts; of its errors the first fault is told.
    """
    told = str(error)
    if type(error).__name__ == "ValidationError" and hasattr(error, "errors"):
        fault = error.errors()[0]
        place = ".".join(map(str, fault["loc"]))
        told = f"{place}={spelled(fault['input'])}: {fault['msg']}"
    return f"{type(error).__name__}: {told}".strip().splitlines()[0]


def reason_of(error: OSError) -> str:
    """Say why the system refused, as words within a sentence."""
    return (error.strerror or str(error)).lower()


def unwritable(key: str, folder: object, error: OSError) -> ConfigError:
    """Refuse a folder that can't be made or written to."""
    return ConfigError(key, str(folder), "a folder that can be written to", reason_of(error))


def did_you_mean(word: str, valid: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for a near miss, else an empty string."""
    near = difflib.get_close_matches(word, list(valid), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
