"""Values and configurations in words, and the order words are listed in."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

from avatarl.report.comparison import Configuration, Section
from avatarl.report.identity import short_names

#: The n-gram levels as they are written on a line or in a row.
LEVEL_NAMES = {
    "unigram": "unigram",
    "bigram": "bigram",
    "trigram": "trigram",
    "ngram4": "4-gram",
}
#: References by the length of their context.
_LADDER = ("none", "uniform", "unigram", "bigram", "trigram", "ngram4")


def show(value: Any) -> str:
    """Return a configuration value as it would be typed on the command line."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    return value if isinstance(value, str) else json.dumps(value, default=str)


def word(row: Configuration, key: str) -> str:
    """Return a configuration's value of ``key`` in words; ``–`` where it has no such key."""
    return show(row.values[key]) if key in row.values else "–"


def words(rows: Iterable[Configuration], key: str) -> list[str]:
    """Return every value of ``key`` once: references by context, then numbers, then words."""
    return sorted({word(row, key) for row in rows}, key=_natural)


def _natural(text: str) -> tuple[int, float, str]:
    if text in _LADDER:
        return (0, _LADDER.index(text), "")
    try:
        return (1, float(text), "")
    except ValueError:
        return (2, 0.0, text)


def is_number(text: str) -> bool:
    """Whether a value in words is a finite number."""
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def describe_configuration(row: Configuration, keys: Sequence[str]) -> str:
    """Return a row in words: its differing keys, else its name."""
    headings = short_names(keys)
    pairs = [f"{headings[key]}={show(row.values[key])}" for key in keys if key in row.values]
    return " ".join(pairs) or row.label


def row_name(section: Section, row: Configuration, *, keyed: bool = False) -> str:
    """Return a configuration's values, as ``key=value`` if keyed; controls are named so."""
    heads = {key: f"{name}=" if keyed else "" for key, name in short_names(section.keys).items()}
    own = [key for key in section.keys if key in row.values]
    name = ", ".join(f"{heads[key]}{show(row.values[key])}" for key in own)
    alike = [other for other in section.configurations if other.is_control is row.is_control]
    code = ""
    if sum(other.values == row.values for other in alike) > 1:
        code = f", code {row.code[:8] or 'unknown'}"
    if not row.is_control:
        return f"{name or row.label}{code}"
    return f"control · {name}{code}" if len(alike) > 1 else "control"
