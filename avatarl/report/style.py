"""Colours and line styles that tell configurations apart, also without colour vision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from avatarl.report.aggregate import Configuration, show

#: Source: Okabe & Ito 2008, "Color Universal Design"; yellow is left out (too pale on white).
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F")
CONTROL = "#000000"
MUTED = "#BFBFBF"
DASHES = ("-", "--", ":", "-.")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")


@dataclass(frozen=True)
class Look:
    """How a configuration is drawn; ``muted`` ones stand back without a legend entry."""

    colour: str
    dash: str
    marker: str
    muted: bool = False


def looks(rows: Sequence[Configuration], keys: Sequence[str]) -> dict[str, Look]:
    """Give each configuration a look.

    Few configurations get a colour each. More get the first differing key as colour and the
    second as dashes where that tells them apart; otherwise the best seven stand out.

    Args:
        rows: Sorted rows, best first.
        keys: The differing keys.
    """
    learners = [row for row in rows if not row.is_control]
    told: dict[str, Look] = {
        row.key: Look(CONTROL, DASHES[index % len(DASHES)], MARKERS[index % len(MARKERS)])
        for index, row in enumerate(row for row in rows if row.is_control)
    }
    if len(learners) > len(PALETTE):
        pair = _telling_pair(learners, keys)
        if pair is not None:
            first, second = pair
            for row in learners:
                colour = _place(learners, first, row)
                dash = _place(learners, second, row)
                told[row.key] = Look(PALETTE[colour], DASHES[dash], MARKERS[dash])
            return told
    for index, row in enumerate(learners):
        if index < len(PALETTE):
            told[row.key] = Look(PALETTE[index], "-", MARKERS[index])
        else:
            told[row.key] = Look(MUTED, "-", ".", muted=True)
    return told


def _telling_pair(rows: Sequence[Configuration], keys: Sequence[str]) -> tuple[str, str] | None:
    for first in keys:
        for second in keys:
            if first == second:
                continue
            pairs = {(_word(row, first), _word(row, second)) for row in rows}
            colours, dashes = len(set(_words(rows, first))), len(set(_words(rows, second)))
            if len(pairs) == len(rows) and colours <= len(PALETTE) and dashes <= len(DASHES):
                return first, second
    return None


def _words(rows: Sequence[Configuration], key: str) -> list[str]:
    return [_word(row, key) for row in rows]


def _word(row: Configuration, key: str) -> str:
    return show(row.values[key]) if key in row.values else "–"


def _place(rows: Sequence[Configuration], key: str, row: Configuration) -> int:
    return sorted(set(_words(rows, key)), key=natural).index(_word(row, key))


def natural(word: str) -> tuple[int, float, str]:
    """Sort numbers as numbers, and before words."""
    try:
        return (0, float(word), "")
    except ValueError:
        return (1, 0.0, word)
