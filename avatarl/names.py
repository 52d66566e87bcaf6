"""Names that users give, of which files, jobs and folders are named."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from typing import Any

from avatarl.errors import ConfigError
from avatarl.text import printable

#: Overrides that say where a sweep is, and nothing about its runs.
_PLACES = ("sweep_name=", "output_dir=")
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


def short_keys(keys: Sequence[str], taken: Collection[str] = ()) -> dict[str, str]:
    """Return a short heading for each key, the full key where shortening would confuse two.

    Args:
        keys: Dotted; an option's ``name`` or ``kind`` is spoken of by its group.
        taken: Headings that mean something else.
    """
    short: dict[str, str] = {}
    for key in keys:
        group, _, last = key.rpartition(".")
        short[key] = group.rpartition(".")[2] if last in ("name", "kind") and group else last
    given = list(short.values())
    return {
        key: name if given.count(name) == 1 and name not in taken else key
        for key, name in short.items()
    }


def size_in_words(runs: int, controls: int) -> str:
    """Say how many runs there are: ``24 runs + 6 controls``."""
    said = f"{runs} run{'' if runs == 1 else 's'}"
    return f"{said} + {controls} control{'' if controls == 1 else 's'}" if controls else said


def shared_words(combinations: Sequence[Sequence[str]]) -> frozenset[str]:
    """Overrides that all of several combinations share: they tell no run from another."""
    if len(combinations) < 2:
        return frozenset()
    return frozenset.intersection(*map(frozenset, combinations))


def said_once(combinations: Sequence[Sequence[str]]) -> str:
    """Say in one line what several combinations share, in the order typed; empty for nothing."""
    shared = shared_words(combinations)
    words = [word for word in combinations[0] if word in shared] if shared else []
    told = [printable(word) for word in words if not word.startswith(_PLACES)]
    return f"all: {' '.join(told)}" if told else ""
