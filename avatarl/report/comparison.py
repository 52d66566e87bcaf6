"""What a comparison consists of: sections of configurations, each with its seeds aggregated."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from avatarl.names import size_in_words
from avatarl.report.statistics import Estimate, Interval, Paired
from avatarl.runs.run import Run
from avatarl.runs.state import RunState, in_words


@dataclass(frozen=True)
class Configuration:
    """Runs that differ by their seed at most (or that ``--group-by`` puts together).

    Attributes:
        values: The differing keys' values; a key that varies inside the group says how often.
        done: The finished runs, which alone are averaged.
        unfinished: Running, failed, interrupted or queued runs, which are only named.
        estimates: Mean and interval of each metric over ``done``.
        against: The paired comparison with the baseline, where one was asked for.
        mixed: How many configurations were put together (1 unless grouped).
    """

    key: str
    label: str
    values: Mapping[str, Any]
    done: tuple[Run, ...]
    unfinished: tuple[Run, ...]
    estimates: Mapping[str, Estimate]
    is_control: bool
    code: str
    mixed: int = 1
    best: bool = False
    baseline: bool = False
    against: Paired | None = None

    @property
    def runs(self) -> tuple[Run, ...]:
        """All its runs."""
        return self.done + self.unfinished

    def mean(self, metric: str) -> float | None:
        """Return the mean over the finished seeds, None where there is none."""
        estimate = self.estimates.get(metric)
        return None if estimate is None else estimate.mean

    def failures(self) -> list[str]:
        """Name every seed that failed, and why."""
        return _told(run for run in self.unfinished if run.state is RunState.FAILED)

    def notes(self) -> list[str]:
        """Name every seed that isn't in the means, and why; first those that failed."""
        notes = self.failures()
        notes += _told(run for run in self.unfinished if run.state is not RunState.FAILED)
        notes += [
            f"{metric} is of {estimate.n} of the {len(self.done)} finished seeds, "
            "the rest has no finite value"
            for metric, estimate in self.estimates.items()
            if estimate.n < len(self.done)
        ]
        if self.mixed > 1:
            notes.append(f"over {self.mixed} configurations")
        return notes


def _told(runs: Iterable[Run]) -> list[str]:
    alike: dict[str, list[Run]] = {}
    for run in runs:
        why = f": {run.reason}" if run.reason else ""
        alike.setdefault(f"{run.describe_state()}{why}", []).append(run)
    return [f"{_seeds(runs)} {what}" for what, runs in alike.items()]


def _seeds(runs: Sequence[Run]) -> str:
    if any(run.seed is None for run in runs):
        return "a run" if len(runs) == 1 else f"{len(runs)} runs"
    seeds = list(dict.fromkeys(str(run.seed) for run in runs))
    return f"{'seed' if len(seeds) == 1 else 'seeds'} {', '.join(seeds)}"


@dataclass(frozen=True)
class Section:
    """Runs that may be held against each other: one corpus, one track, one way of evaluating.

    Attributes:
        stride: That held-out text is cut by; None for the usual one of each context.
        keys: The keys that differ among its rows; those of other sections aren't its columns.
        levels: Held-out metrics of the corpus's n-gram models.
        configurations: Sorted rows.
    """

    corpus: str
    corpus_sha256: str
    track: str
    stride: int | None
    fallback: str
    keys: tuple[str, ...]
    levels: Mapping[str, Mapping[str, float]]
    configurations: tuple[Configuration, ...]

    @property
    def title(self) -> str:
        """Corpus, track and stride in words."""
        name = self.corpus or "unknown corpus"
        sha = f" ({self.corpus_sha256[:8]})" if self.corpus_sha256 else ""
        track = {
            "label_revealing": "label-revealing feedback",
            "bandit": "bandit feedback",
            "label_revealing_adaptive": "label-revealing feedback, adapting while it is evaluated",
            "bandit_adaptive": "bandit feedback, adapting while it is evaluated",
            "": "track not known yet",
        }.get(self.track, self.track)
        stride = "" if self.stride is None else f" · evaluated at stride {self.stride}"
        return f"{name}{sha} · {track}{stride}"


def headline(title: str, runs: Sequence[Run]) -> str:
    """Say how many runs there are, and in which state: ``demo: 6 runs + 1 control: 7 done``."""
    controls = sum(run.is_control for run in runs)
    size = size_in_words(len(runs) - controls, controls)
    return f"{title}: {size}: {in_words(run.state for run in runs)}"


@dataclass(frozen=True, repr=False)
class Comparison:
    """Everything a table or a plot shows.

    Attributes:
        keys: The keys that differ among all rows, dotted.
        headings: A short heading for each key.
        metrics: Metrics shown.
        sort: The metric or key sorted by.
        descending: Whether rows with the largest value come first.
        warnings: Whatever keeps runs from being compared plainly.
        shared: Overrides that all runs of one sweep have in common, in one line.
    """

    title: str
    sections: tuple[Section, ...]
    keys: tuple[str, ...]
    headings: Mapping[str, str]
    metrics: tuple[str, ...]
    sort: str
    descending: bool
    interval: Interval
    baseline: str = ""
    warnings: tuple[str, ...] = field(default=())
    shared: str = ""

    @property
    def runs(self) -> list[Run]:
        """All runs of all sections."""
        rows = [row for section in self.sections for row in section.configurations]
        return [run for row in rows for run in row.runs]

    def __repr__(self) -> str:
        return f"Comparison({headline(self.title, self.runs)})"

    def __str__(self) -> str:
        """Return the tables as a terminal shows them."""
        from avatarl.report.terminal import as_text

        return as_text(self)

    def _repr_html_(self) -> str:
        """Show a notebook the tables and their footnotes."""
        from avatarl.report.exports import as_html

        return as_html(self)
