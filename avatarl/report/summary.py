"""The comparison at the end of a sweep."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from avatarl import terminal
from avatarl.errors import UserError
from avatarl.files import write_atomic
from avatarl.report.exports import as_csv
from avatarl.report.load import load_runs
from avatarl.report.terminal import as_text, print_comparison
from avatarl.runs.outputs import SweepFolder


def summarise_sweep(sweep_directory: Path, console: Console | None = None) -> None:
    """Print a sweep's table and write table and curves beside its plan.

    Raises:
        UserError: The directory holds no readable ``plan.json``.
    """
    console = console or terminal.console()
    sweep = SweepFolder(sweep_directory)
    if not sweep.plan.is_file():
        raise UserError(f"{sweep_directory} is no sweep: it has no plan.json")
    runs = load_runs(sweep_directory)
    comparison = runs.compare(title=sweep_directory.name)
    if not console.is_jupyter:  # a notebook is handed the runs themselves
        print_comparison(comparison, console)
    for problem in runs.problems:
        terminal.say(console, f"warning: {problem}", "yellow")
    write_atomic(sweep.comparison("txt"), as_text(comparison))
    write_atomic(sweep.comparison("csv"), as_csv(comparison))

    # Drawing needs the plotting library, which takes longer to load than everything above.
    from avatarl.report.curves import read_journals
    from avatarl.report.plots import curves
    from avatarl.report.plots.canvas import write
    from avatarl.report.plots.data import PlotData

    data = PlotData(comparison, read_journals(runs, ["val/nats"]), "val/nats")
    write(curves.draw, data, [sweep.comparison("png")])
    terminal.say(console, f"table and curves: {sweep_directory}/comparison.{{txt,csv,png}}")
