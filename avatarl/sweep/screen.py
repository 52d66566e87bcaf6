"""A sweep on the terminal: what all runs share said once, then a row a run of what differs.

The table fits the width it is given. Figures and names are never cut: columns are left out, those
of least worth first, and a note that has no room in its row stands below it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.text import Text

from avatarl.runs.progress import Progress
from avatarl.runs.state import RunState, in_words
from avatarl.sweep.plan.naming import Names
from avatarl.sweep.plan.planned import Plan
from avatarl.sweep.survey import Row, Survey
from avatarl.text import in_two

_STYLES = {
    RunState.FAILED: "bold red",
    RunState.RUNNING: "green",
    RunState.INTERRUPTED: "yellow",
    RunState.UNREADABLE: "bold yellow",
    RunState.PAUSED: "dim",
    RunState.DONE: "dim",
}
#: Columns that give way where the terminal is narrow, first those that are missed least.
_DISPENSABLE = ("", "gpu", "loss", "node", "steps/s", "job", "nats", "step")
#: Figures, which are set flush right.
_NUMERIC = frozenset({"step", "steps/s", "left", "nats", "loss"})
_BAR = 10
_GAP, _INDENT = "  ", "    "
#: Cells that a name or a note is left at least.
_NARROWEST = 12


def duration(seconds: float | None) -> str:
    """``75`` as ``1:15``, ``None`` as a dash."""
    if seconds is None or not math.isfinite(seconds) or seconds < 0:
        return "–"
    whole = int(seconds + 0.5)
    hours, rest = divmod(whole, 3600)
    minutes, rest = divmod(rest, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def number(value: object, digits: int = 4) -> str:
    """A metric for a table cell."""
    return f"{value:.{digits}f}" if isinstance(value, int | float) else "–"


def headline(plan: Plan, survey: Survey) -> Text:
    """One line: how many runs there are, how many in each state, and how long it will take."""
    words = in_words(row.state for row in survey.rows)
    left = survey.left_s
    time = "" if left is None else f"; {duration(left)} left"
    lost = "" if survey.reachable else "  (SLURM's controller doesn't answer)"
    return Text(f"{plan.name}: {plan.size}: {words}{time}{lost}", style="bold")


def head(plan: Plan, survey: Survey) -> list[Text]:
    """What stands above a table: the headline, and what all runs share, and where a search is."""
    common = plan.names.said_once
    lines = [headline(plan, survey), Text(common, style="dim"), Text(survey.search)]
    return [line for line in lines if line]


def render(plan: Plan, survey: Survey) -> RenderableType:
    """A live screen: headline, what is shared, and as many runs that aren't done as fit."""
    rows = [row for row in survey.rows if row.state is not RunState.DONE]
    tables = [RunTable(plan.names, rows, most="screen")] if rows else []
    return Group(*head(plan, survey), *tables)


@dataclass(frozen=True)
class RunTable:
    """Runs, most interesting first, one row each; columns that would be empty are left out.

    Args:
        names: What tells the runs apart.
        rows: The runs.
        most: Rows shown at most; ``screen``: as many as the terminal is high.
    """

    names: Names
    rows: Sequence[Row]
    most: int | str | None = None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Lay the rows out for the width there is."""
        order = list(RunState)
        rows = sorted(self.rows, key=lambda row: order.index(row.state))
        bars = console.is_terminal
        alarms = [len(word) for row in rows for word in _warnings(row).plain.split()]
        note = len(_GAP) + max(alarms) if alarms else 0
        columns = _fit(list(_columns(self.names, rows, bars)), note, options.max_width)
        widths = [column.width for column in columns]
        if rows and any(any(column.heading) for column in columns):
            height = max(len(column.heading) for column in columns)
            for line in range(height):
                parts = [column.head(line, height) for column in columns]
                yield Text(_GAP.join(parts).rstrip(), "bold", no_wrap=True)
        room = options.max_width - sum(widths) - len(_GAP) * len(widths)
        lines_left = console.height - 5 if self.most == "screen" else math.inf
        most = self.most if isinstance(self.most, int) else len(rows)
        shown = 0
        for at, row in enumerate(rows[:most]):
            lines = list(_lines(row, at, columns, room, console, options.max_width))
            lines_left -= len(lines)
            if lines_left < 0 and shown:
                break
            yield from lines
            shown += 1
        if left := rows[shown:]:
            states = in_words(row.state for row in left)
            yield Text(f"… and {states}", "dim", no_wrap=True)


@dataclass(frozen=True)
class _Column:
    """A column of words, which all fit it.

    Attributes:
        name: Of a column that can be left out; None for what tells runs apart.
    """

    name: str | None
    heading: tuple[str, ...]
    cells: tuple[Text, ...]
    is_numeric: bool

    @property
    def width(self) -> int:
        return max(map(cell_len, [*self.heading, *(cell.plain for cell in self.cells)]))

    def head(self, line: int, height: int) -> str:
        """One of ``height`` lines of headings, which stand on the table."""
        at = line - (height - len(self.heading))
        words = self.heading[at] if at >= 0 else ""
        blank = " " * (self.width - cell_len(words))
        return blank + words if self.is_numeric else words + blank

    def cell(self, at: int) -> Text:
        cell = self.cells[at]
        blank = " " * (self.width - cell.cell_len)
        return Text.assemble(blank, cell) if self.is_numeric else Text.assemble(cell, blank)


def _columns(names: Names, rows: Sequence[Row], bars: bool) -> Iterator[_Column]:
    told = [_identity(names, row) for row in rows]
    headings = [*names.headings.values()] or ["run"]
    for heading, cells in zip(headings, zip(*told, strict=True), strict=True):
        numeric = all(_is_number(cell.plain) for cell in cells)
        yield _Column(None, in_two(heading), tuple(cells), numeric)
    facts = [_facts(row, bars) for row in rows]
    for name in facts[0] if facts else ():
        cells = tuple(fact[name] for fact in facts)
        if any(cell.plain for cell in cells):
            yield _Column(name, (name,), cells, name in _NUMERIC)


def _identity(names: Names, row: Row) -> list[Text]:
    """What a run has of the keys that differ; a control has few of them, and says what it is."""
    run = row.run
    values = names.values(run)
    cells = [Text(values.get(key, "–")) for key in names.headings]
    if not cells:
        return [Text(names.label(run), "magenta" if run.is_control else "")]
    if run.is_control:
        absent = [at for at, key in enumerate(names.headings) if key not in values]
        at = absent[0] if absent else 0
        word = "control" if absent else f"{cells[0].plain} (control)"
        cells[at] = Text(word, "magenta")
    return cells


def _facts(row: Row, bars: bool) -> dict[str, Text]:
    progress = row.progress or Progress()
    running = row.state is RunState.RUNNING
    steps = f"{progress.step}/{progress.steps}" if progress.steps else ""
    return {
        "state": Text(str(row.state), _STYLES.get(row.state, "")),
        "": _bar(progress.share) if bars and running else Text(),
        "step": Text(steps),
        "left": Text(duration(progress.eta_s) if running else ""),
        "nats": Text("" if progress.nats is None else number(progress.nats)),
        "steps/s": Text(number(progress.rate, 1) if running else ""),
        "loss": Text(number(progress.loss) if row.progress else ""),
        "job": Text(row.job_id or ""),
        "node": Text(row.node),
        "gpu": Text(row.gpu),
    }


def _warnings(row: Row) -> Text:
    return Text(", ".join((row.progress or Progress()).warnings), "yellow")


def _bar(share: float | None) -> Text:
    done = round((share or 0.0) * _BAR)
    return Text.assemble(("━" * done, "green"), ("─" * (_BAR - done), "dim"))


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return word in ("", "–")
    return True


def _fit(columns: list[_Column], note: int, width: int) -> list[_Column]:
    """Leave out columns until the others fit; then shorten what tells runs apart, but no figure.

    Args:
        columns: All of them.
        note: Width that notes need beside the rows, where it can be had by leaving out what is
            worth less.
        width: Of the terminal.
    """

    def too_much(note: int = 0) -> int:
        return sum(column.width + len(_GAP) for column in columns) - len(_GAP) - width + note

    everything = columns
    for name in _DISPENSABLE[: _DISPENSABLE.index("node")]:
        if too_much(note) > 0:
            columns = [column for column in columns if column.name != name]
    if too_much(note) > 0:  # below, then
        columns = everything
    for name in _DISPENSABLE:
        if too_much() > 0:
            columns = [column for column in columns if column.name != name]
    for widest in sorted(columns, key=lambda column: -column.width):
        if too_much() <= 0:
            break
        if widest.name is None and not widest.is_numeric:
            limit = max(_NARROWEST, widest.width - too_much())
            cells = tuple(_shortened(cell, limit) for cell in widest.cells)
            at = columns.index(widest)
            columns[at] = replace(widest, cells=cells)
    return columns


def _shortened(cell: Text, limit: int) -> Text:
    """Leave out the middle of a name: its ends are what tells it from others."""
    if cell.cell_len <= limit:
        return cell
    head, tail = cell.copy(), cell.plain
    head.truncate(limit // 2)
    while cell_len(tail) > limit - cell_len(head.plain) - 1:
        tail = tail[1:]
    return Text.assemble(head, "…", tail)


def _lines(
    row: Row, at: int, columns: Sequence[_Column], room: int, console: Console, width: int
) -> Iterator[Text]:
    """A run's row, and its note where there is room for it: beside it, or else below."""
    note = Text(row.reason, _STYLES.get(row.state, "")) if row.reason else _warnings(row)
    line = Text(_GAP, no_wrap=True).join(column.cell(at) for column in columns)
    indent, parts = line.cell_len + len(_GAP), note.wrap(console, max(1, room))
    beside = max(part.cell_len for part in parts) <= room and len(parts) <= 2 if note else False
    if not beside:
        indent, parts = len(_INDENT), note.wrap(console, max(_NARROWEST, width - len(_INDENT)))
        line.rstrip()
        yield line
    for n, part in enumerate(parts if note else ()):
        before = Text.assemble(line, _GAP) if beside and n == 0 else " " * indent
        yield Text.assemble(before, part, no_wrap=True)
