"""How a sweep was searched, as the page has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from avatarl.report.comparison import Section
from avatarl.report.importance import importance_of
from avatarl.report.searched import read_searched

#: What a decision says, between when it was made, in seconds, and why.
_TOLD = ("event", "run", "rung", "step", "value")


def search_data(
    section: Section, headings: Mapping[str, str], metric: str
) -> dict[str, Any] | None:
    """Return what is shown of a search; None where each run went to its end.

    Args:
        section: One of a comparison's.
        headings: Of keys.
        metric: What runs are ranked by, unless the search says so itself.
    """
    learners = [row for row in section.configurations if not row.is_control]
    searched = read_searched([run for row in learners for run in row.runs], metric)
    if not searched.decisions:
        return None
    matters = importance_of(section, searched)
    began = searched.decisions[0].get("time")
    return {
        "metric": searched.metric,
        "spent": searched.spent,
        "values": searched.values,
        "best": searched.best,
        "rungs": [asdict(rung) for rung in searched.rungs],
        "importance": None
        if matters is None
        else {
            "told": matters.told,
            "shares": [[headings[key], share] for key, share in matters.shares.items()],
        },
        "decisions": [
            [
                None if began is None else round(event["time"] - began, 1),
                *(event.get(name) for name in _TOLD),
                event.get("why", event.get("state")),
            ]
            for event in searched.decisions
        ],
    }
