"""Colours and line styles that tell configurations apart, also without colour vision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

from avatarl.report.comparison import Configuration
from avatarl.report.words import is_number, word, words

#: Source: Okabe & Ito 2008, "Color Universal Design"; yellow is left out (too pale on white).
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F")
#: cividis, which reads alike for every kind of vision.
RAMP = (
    "#00224e", "#123570", "#3b496c", "#575d6d", "#707173",
    "#8a8678", "#a59c74", "#c3b369", "#e1cc55", "#fee838",
)  # fmt: skip
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

    Few configurations get a colour each. More get one differing key as colour (a ramp where it is
    of many numbers) and another as dashes where that tells them apart; otherwise each gets a pair
    of colour and dashes while there are any, the best first, and the rest stands back.

    Args:
        rows: Sorted rows, best first.
        keys: The differing keys.
    """
    learners = [row for row in rows if not row.is_control]
    styles = {
        row.key: Look(CONTROL, DASHES[index % len(DASHES)], MARKERS[index % len(MARKERS)])
        for index, row in enumerate(row for row in rows if row.is_control)
    }
    told = _telling_keys(learners, keys) if len(learners) > len(PALETTE) else None
    if told is not None:
        first, second = told
        colours = _colours(words(learners, first))
        dashes = words(learners, second) if second else [""]
        for row in learners:
            dash = dashes.index(word(row, second)) if second else 0
            styles[row.key] = Look(colours[word(row, first)], DASHES[dash], MARKERS[dash])
        return styles
    for index, row in enumerate(learners):
        dash, colour = divmod(index, len(PALETTE))
        if dash < len(DASHES):
            marker = MARKERS[(colour + dash) % len(MARKERS)]
            styles[row.key] = Look(PALETTE[colour], DASHES[dash], marker)
        else:
            styles[row.key] = Look(MUTED, "-", ".", muted=True)
    return styles


def _telling_keys(rows: Sequence[Configuration], keys: Sequence[str]) -> tuple[str, str] | None:
    """Return the key for colours and that for dashes ("" for none) which tell all rows apart."""
    for first, second in [*((key, "") for key in keys), *permutations(keys, 2)]:
        pairs = {(word(row, first), word(row, second)) for row in rows}
        few = not second or len(words(rows, second)) <= len(DASHES)
        if few and _colours(words(rows, first)) and len(pairs) == len(rows):
            return first, second
    return None


def _colours(values: Sequence[str]) -> dict[str, str]:
    """Return a colour for each value; none where they are too many words."""
    if len(values) <= len(PALETTE):
        return dict(zip(values, PALETTE, strict=False))
    if not all(is_number(value) for value in values):
        return {}
    # The palest end would vanish into the paper.
    return {value: _ramp(0.88 * at / (len(values) - 1)) for at, value in enumerate(values)}


def _ramp(share: float) -> str:
    low = min(int(share * (len(RAMP) - 1)), len(RAMP) - 2)
    part = share * (len(RAMP) - 1) - low
    ends = [[int(colour[at : at + 2], 16) for at in (1, 3, 5)] for colour in RAMP[low : low + 2]]
    return "#" + "".join(f"{round(a + (b - a) * part):02x}" for a, b in zip(*ends, strict=True))
