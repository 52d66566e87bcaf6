"""The keys that a section's configurations were swept over, as axes."""

from __future__ import annotations

from avatarl.report.comparison import Configuration
from avatarl.report.plots.data import PlotData
from avatarl.report.words import words

#: Says that a panel averages over what it doesn't show.
POOLED = "mean over the other keys"


def swept_rows(data: PlotData) -> tuple[list[Configuration], list[str]]:
    """Return the learners that have the metric, and the keys that differ among them."""
    rows = [row for row in data.finished(data.metric) if not row.is_control]
    return rows, [key for key in data.section.keys if len(words(rows, key)) > 1]
