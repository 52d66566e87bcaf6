"""Selected runs as dataframes: one row a run, one row a logged record."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from avatarl import notebook
from avatarl.errors import UserError
from avatarl.names import said_once
from avatarl.report.comparison import headline
from avatarl.report.identity import configuration_key, short_names
from avatarl.report.metrics import format_number, metric_heading
from avatarl.report.requested import columns
from avatarl.report.words import show
from avatarl.runs import records
from avatarl.runs.find import OUTPUTS, Source, select
from avatarl.runs.journal import metric_names
from avatarl.runs.run import Run, read_run
from avatarl.runs.state import RunState
from avatarl.runs.where import Filter, FilterError

if TYPE_CHECKING:
    from avatarl.report.comparison import Comparison
    from avatarl.report.picture import Picture

#: Runs that a notebook lists at most, and the figures it shows of each.
_MOST_ROWS = 40
_FIGURES = ("val/nats", "val/accuracy")
#: Facts of a run that lead its row.
_FACTS = (
    "run_id", "name", "state", "share", "reason", "track", "corpus", "corpus_sha256", "code",
    "is_control", "sweep",
)  # fmt: skip


@dataclass(frozen=True, repr=False)
class Runs:
    """The selected runs.

    Attributes:
        runs: What the files say, in the order selected.
        swept_keys: The keys that the selected sweeps vary, as their plans name them.
        problems: What could not be found or read, one line each.
        errors: Those of the problems that are the selection's or a filter's own mistakes.
        title: What was selected, in words.
        shared: Overrides that all runs have in common, of a whole sweep, in one line.
    """

    runs: tuple[Run, ...]
    swept_keys: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    title: str = "runs"
    shared: str = ""

    def __len__(self) -> int:
        return len(self.runs)

    def __iter__(self) -> Iterator[Run]:
        return iter(self.runs)

    def __repr__(self) -> str:
        return f"Runs({headline(self.title, self.runs)})"

    def _repr_html_(self) -> str:
        """Show a notebook a row a run: what differs, its state, how good it is."""
        keys = columns(self.runs, self.swept_keys, ())
        names = short_names(keys)
        rows = [
            (
                run.directory.name, *(show(run.config.get(key)) for key in keys), show(run.seed),
                run.describe_state(),
                *(format_number(run.number(metric), 4) for metric in _FIGURES),
            )
            for run in self.runs[:_MOST_ROWS]
        ]  # fmt: skip
        headings = ("run", *names.values(), "seed", "state", *map(metric_heading, _FIGURES))
        left = len(self.runs) - len(rows)
        notes = [*([f"… and {left} more"] if left else []), *self.problems[:_MOST_ROWS]]
        return notebook.table(headings, rows, headline(self.title, self.runs), notes)

    def plot(self, metric: str = "val/nats", *, x: str = "characters") -> Picture:
        """Draw a metric's curves, a band a configuration, as ``avatarl compare --plot`` does.

        Args:
            metric: One that the journals hold.
            x: ``characters``, ``steps``, ``epochs`` or ``seconds``.

        Raises:
            UserError: There is no such metric or axis.
        """
        from avatarl.report.picture import curves

        return curves(self, metric, x)

    def compare(self, **asked: Any) -> Comparison:
        """Aggregate the runs over their seeds.

        Args:
            asked: As :func:`avatarl.report.aggregate.compare` takes them: ``metrics``, ``sort``,
                ``group_by``, ``against``, ``interval``.

        Raises:
            UserError: An unknown metric, key or baseline.
        """
        from avatarl.report.aggregate import compare

        given = {"swept": self.swept_keys, "title": self.title, "shared": self.shared}
        return compare(self.runs, **{**given, **asked})

    @cached_property
    def table(self) -> pl.DataFrame:
        """One row a run: its facts, its configuration (dotted keys) and its result (slashes)."""
        return _frame([_row(run) for run in self.runs])

    @cached_property
    def curves(self) -> pl.DataFrame:
        """One row a record of every run: ``run_id``, ``step``, ``characters_seen``, metrics."""
        return self.read_curves()

    @cached_property
    def events(self) -> pl.DataFrame:
        """One row an event of every run: alarms, promotions, the final evaluation."""
        rows: list[dict[str, Any]] = []
        for run, read in self.journals(()):
            rows += [{"run_id": run.run_id, **event} for event in read.events]
        return _frame(rows) if rows else pl.DataFrame(schema={"run_id": pl.String})

    def metric_names(self) -> list[str]:
        """Return every metric the journals hold, in order met."""
        names: dict[str, None] = {}
        paths = [run.folder.journal for run in self.runs]
        with ThreadPoolExecutor(_threads()) as pool:
            for found in pool.map(metric_names, paths):
                names.update(dict.fromkeys(found))
        return list(names)

    def read_curves(self, metrics: Sequence[str] | None = None) -> pl.DataFrame:
        """Return the records of every run, of these metrics only (all by default)."""
        frames = [
            read.records.select(pl.lit(run.run_id).alias("run_id"), pl.all())
            for run, read in self.journals(metrics)
        ]
        if not frames:
            return records.empty_records(metrics or ()).with_columns(run_id=pl.lit(""))
        return pl.concat(frames, how="diagonal")

    def journals(
        self, metrics: Sequence[str] | None = None
    ) -> Iterator[tuple[Run, records.Records]]:
        """Read the journals one after another, a few ahead, so that few are held at a time."""
        started = [run for run in self.runs if run.state is not RunState.NEW]

        def read(run: Run) -> records.Records:
            return records.read(run.folder.journal, metrics)

        # The dataframe library lets go of the interpreter while it parses, so threads suffice.
        ahead = 2 * _threads()
        with ThreadPoolExecutor(_threads()) as pool:
            pending = [pool.submit(read, run) for run in started[:ahead]]
            for index, run in enumerate(started):
                result = pending[index].result()
                pending[index] = None  # type: ignore[call-overload]
                if index + ahead < len(started):
                    pending.append(pool.submit(read, started[index + ahead]))
                yield run, result


def _threads() -> int:
    return min(8, os.cpu_count() or 1)


def load_runs(
    selection: str | Path | Iterable[str | Path] = (),
    *,
    where: str | Sequence[str] = (),
    output_dir: str | Path = OUTPUTS,
) -> Runs:
    """Load the runs that ``selection`` names.

    Args:
        selection: A sweep, a run, a folder, a name, an id or a glob, or several of these;
            everything under ``output_dir`` by default.
        where: Filters as in ``avatarl compare --where``, all of which must hold.
        output_dir: The output directory that names and ids are looked up in.

    Returns:
        The runs; ``.table`` and ``.curves`` are the dataframes behind table and plots. What could
        not be found or read is told in ``.problems``, the rest is there.

    Raises:
        UserError: Nothing was found at all.
    """
    words = [selection] if isinstance(selection, str | Path) else list(selection)
    chosen = select(words, Path(output_dir))
    errors = list(chosen.missing)
    if not chosen.sources:
        raise UserError("; ".join(errors) or f"there is no run in {output_dir}")
    with ThreadPoolExecutor(_threads()) as pool:
        runs = list(pool.map(read_run, chosen.sources))
    runs = _adopt(_once(runs))
    filters = [where] if isinstance(where, str) else list(where)
    kept = runs
    headings = short_names(columns(runs, chosen.swept_keys, ())) if filters else {}
    for text in filters:
        try:
            kept = apply_filter(text, kept, runs, headings)
        except FilterError as error:
            errors.append(f"{error}; shown without this filter")
    if runs and not kept:
        errors.append(f"no run is left of {len(runs)} by --where {' and '.join(filters)}")
    problems = [*errors, *(problem for run in kept for problem in run.problems)]
    return Runs(
        tuple(kept), chosen.swept_keys, tuple(problems), tuple(errors), chosen.title,
        _shared(chosen.sources),
    )  # fmt: skip


def _shared(sources: Sequence[Source]) -> str:
    """What the runs of one sweep have in common; of several, each has its own."""
    if len({source.sweep for source in sources}) != 1:
        return ""
    plans = [source.planned or {} for source in sources]
    asked = [plan.get("overrides") for plan in plans if not plan.get("is_control")]
    return said_once([list(map(str, words)) if isinstance(words, list) else [] for words in asked])


def apply_filter(
    text: str,
    runs: Sequence[Run],
    known: Sequence[Run],
    headings: Mapping[str, str] | None = None,
) -> list[Run]:
    """Return those of ``runs`` that the filter keeps.

    Args:
        text: The filter.
        runs: The runs.
        known: Those that say which keys there are.
        headings: Of the table, by key.

    Raises:
        FilterError: A syntax error or an unknown key.
    """
    rows = {id(run): facts(run) for run in known}
    chosen = Filter(text, dict.fromkeys(key for row in rows.values() for key in row), headings)
    return [run for run in runs if chosen(rows[id(run)])]


def facts(run: Run) -> dict[str, Any]:
    """Return everything a filter can ask about a run, flat."""
    row: dict[str, Any] = {fact: getattr(run, fact) for fact in _FACTS}
    row["directory"] = str(run.directory)
    row |= {key: value for key, value in run.config.items() if key not in row}
    row |= {
        key: value
        for key, value in run.result.items()
        if key not in row and not isinstance(value, Mapping | list)
    }
    return row


def _once(runs: Sequence[Run]) -> list[Run]:
    # One id in two directories is one run, copied or renamed; the finished one counts.
    best: dict[str, Run] = {}
    for run in runs:
        held = best.get(run.run_id)
        if held is None or (run.done and not held.done):
            best[run.run_id] = run
    return list(best.values())


def _adopt(runs: Sequence[Run]) -> list[Run]:
    """Give runs that don't say yet the track and the code of those that do.

    The track is the explorer's and the evaluation's, so runs with the same ones share it. Code is
    taken over from the same configuration, or where all runs have one and the same; otherwise it
    stays unknown.
    """
    tracks: dict[Any, set[str]] = {}
    codes: dict[str, set[str]] = {}
    keys = {run.run_id: configuration_key(run.config) for run in runs}
    for run in runs:
        if run.track:
            tracks.setdefault(_track_key(run), set()).add(run.track)
        if run.code:
            codes.setdefault(keys[run.run_id], set()).add(run.code)
    everywhere = set().union(*codes.values())
    adopted = []
    for run in runs:
        track = run.track or _only(tracks.get(_track_key(run), set()))
        code = run.code or _only(codes.get(keys[run.run_id], everywhere))
        adopted.append(replace(run, track=track, code=code))
    return adopted


def _track_key(run: Run) -> tuple[Any, Any]:
    return run.config.get("explorer.name"), run.config.get("trainer.evaluation", "fixed")


def _only(values: set[str]) -> str:
    return next(iter(values)) if len(values) == 1 else ""


def _row(run: Run) -> dict[str, Any]:
    row = facts(run)
    return {key: json.dumps(v) if isinstance(v, list) else v for key, v in row.items()}


def _frame(rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    columns: dict[str, None] = {}
    for row in rows:
        columns.update(dict.fromkeys(row))
    return pl.DataFrame({name: _series([row.get(name) for row in rows], name) for name in columns})


def _series(values: list[Any], name: str) -> pl.Series:
    """Return a column; values of unlike types are written as words, so that none is lost."""
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int, float} and kinds:
        return (
            pl.Series(name, [None if v is None else float(v) for v in values])
            if (float in kinds)
            else pl.Series(name, values)
        )
    if len(kinds) <= 1 and kinds <= {bool, str}:
        return pl.Series(name, values, dtype=pl.String if str in kinds or not kinds else pl.Boolean)
    words = [v if v is None or isinstance(v, str) else json.dumps(v, default=str) for v in values]
    return pl.Series(name, words, dtype=pl.String)
