"""The keys that a section's configurations were swept over, as axes."""

from __future__ import annotations

import math
from collections.abc import Sequence

from avatarl.report.comparison import Configuration
from avatarl.report.plots.data import PlotData
from avatarl.report.words import words

#: Says that a panel averages over what it doesn't show.
POOLED = "mean over the other keys"


def swept_rows(data: PlotData) -> tuple[list[Configuration], list[str]]:
    """Return the learners that have the metric, and the keys that differ among them."""
    rows = [row for row in data.finished(data.metric) if not row.is_control]
    return rows, [key for key in data.section.keys if len(words(rows, key)) > 1]


def places(values: Sequence[str]) -> tuple[dict[str, float], bool]:
    """Return where each value stands on an axis, and whether the axis is one of numbers."""
    try:
        numbers = {value: float(value) for value in values}
        if all(map(math.isfinite, numbers.values())):
            return numbers, True
    except ValueError:
        pass
    return {value: float(at) for at, value in enumerate(values)}, False
