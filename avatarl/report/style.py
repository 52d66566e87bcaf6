"""Colours and line styles that tell configurations apart, also without colour vision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

from avatarl.report.comparison import Configuration
from avatarl.report.words import word, words

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
    styles = {
        row.key: Look(CONTROL, DASHES[index % len(DASHES)], MARKERS[index % len(MARKERS)])
        for index, row in enumerate(row for row in rows if row.is_control)
    }
    if len(learners) > len(PALETTE):
        pair = _telling_pair(learners, keys)
        if pair is not None:
            first, second = pair
            colours, dashes = words(learners, first), words(learners, second)
            for row in learners:
                dash = dashes.index(word(row, second))
                colour = PALETTE[colours.index(word(row, first))]
                styles[row.key] = Look(colour, DASHES[dash], MARKERS[dash])
            return styles
    for index, row in enumerate(learners):
        if index < len(PALETTE):
            styles[row.key] = Look(PALETTE[index], "-", MARKERS[index])
        else:
            styles[row.key] = Look(MUTED, "-", ".", muted=True)
    return styles


def _telling_pair(rows: Sequence[Configuration], keys: Sequence[str]) -> tuple[str, str] | None:
    for first, second in permutations(keys, 2):
        pairs = {(word(row, first), word(row, second)) for row in rows}
        few = len(words(rows, first)) <= len(PALETTE) and len(words(rows, second)) <= len(DASHES)
        if few and len(pairs) == len(rows):
            return first, second
    return None
