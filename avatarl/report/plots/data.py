"""What a plot is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from avatarl.report.comparison import Comparison, Configuration, Section
from avatarl.report.curves import Journals
from avatarl.report.searched import Searched, read_searched
from avatarl.report.style import Look, looks


@dataclass(frozen=True)
class PlotData:
    """Everything that a plot may draw.

    Attributes:
        journals: Curves of the metrics shown and of the plots' own, and events.
        metric: The metric to draw.
        place: Which of the comparison's sections the picture is of.
    """

    comparison: Comparison
    journals: Journals
    metric: str
    place: int = 0

    @property
    def section(self) -> Section:
        """The section that the picture is of."""
        return self.comparison.sections[self.place]

    @property
    def looks(self) -> Mapping[str, Look]:
        """How each configuration of the section is drawn, by its key."""
        return looks(self.section.configurations, self.section.keys)

    @cached_property
    def searched(self) -> Searched:
        """How the section's learners came to be, and which were best by then."""
        rows = [row for row in self.section.configurations if not row.is_control]
        return read_searched([run for row in rows for run in row.runs], self.metric)

    def finished(self, metric: str) -> list[Configuration]:
        """Return the section's configurations with a mean of ``metric``."""
        return [row for row in self.section.configurations if metric in row.estimates]
