"""What a plot is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from avatarl.report.comparison import Comparison, Configuration, Section
from avatarl.report.curves import Journals
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

    def finished(self, metric: str) -> list[Configuration]:
        """Return the section's configurations with a mean of ``metric``."""
        return [row for row in self.section.configurations if metric in row.estimates]
