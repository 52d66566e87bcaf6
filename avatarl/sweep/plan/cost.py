"""How long runs will take, judged by similar runs that are done."""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avatarl.errors import UserError
from avatarl.runs.folder import RunFolder
from avatarl.runs.outputs import Outputs
from avatarl.sweep.plan.planned import PlannedRun

#: Finished runs looked at, newest first: enough for an estimate, bounded for a large archive.
_MOST_LOOKED_AT = 500


@dataclass(frozen=True)
class CostEstimate:
    """Hours of work ahead.

    Attributes:
        hours: Summed over the runs that have a similar run in the history.
        known: How many runs that is.
        unknown: Runs with no similar run in the history.
    """

    hours: float
    known: int
    unknown: int

    def sentence(self, workers: int) -> str:
        """The estimate for people, given how many runs go on at once."""
        if not self.known and not self.unknown:
            return "Nothing left to compute."
        if not self.known:
            return "No estimate: no similar run has finished here yet."
        wall = self.hours / max(1, min(workers, self.known))
        rest = f"; {self.unknown} runs have no similar run to judge by" if self.unknown else ""
        return (
            f"Estimate: {_time(self.hours)} of computing for {self.known} runs, "
            f"about {_time(wall)} with {workers} at once{rest}."
        )


def _time(hours: float) -> str:
    return f"{hours:.1f} h" if hours >= 1 else f"{hours * 60:.1f} min"


def estimate(runs: Sequence[PlannedRun], output_dir: Path) -> CostEstimate:
    """Seconds a step of finished runs with the same structure key, times the steps ahead."""
    # Not at the top: it imports torch, which looking at results does without.
    from avatarl.config import parse, structure_key

    paces: dict[str, list[float]] = {}
    folders = sorted(Outputs(output_dir).run_folders(), key=_finished, reverse=True)
    results: dict[RunFolder, Mapping[str, Any]] = {
        folder: folder.read_result() or {} for folder in folders[:_MOST_LOOKED_AT]
    }
    for folder, result in results.items():
        # Runs of earlier versions may have settings that are refused by now.
        with contextlib.suppress(UserError, ValueError, KeyError, TypeError, ZeroDivisionError):
            config = parse(folder.read_config())
            pace = float(result["seconds"]) / float(result["steps"])
            paces.setdefault(structure_key(config), []).append(pace)
    typical_steps = _typical_steps(list(results.values())[:20])
    seconds, known = 0.0, 0
    for run in runs:
        steps = run.config.get("trainer", {}).get("steps") or typical_steps
        if run.structure_key in paces and steps:
            seconds += statistics.median(paces[run.structure_key]) * float(steps)
            known += 1
    return CostEstimate(seconds / 3600, known, len(runs) - known)


def _typical_steps(results: Sequence[Mapping[str, Any]]) -> float | None:
    # Runs whose length is set in epochs don't say their steps; past runs do.
    steps = [result["steps"] for result in results if isinstance(result.get("steps"), int)]
    return statistics.median(steps) if steps else None


def _finished(folder: RunFolder) -> float:
    with contextlib.suppress(OSError):
        return folder.result.stat().st_mtime
    return 0.0
