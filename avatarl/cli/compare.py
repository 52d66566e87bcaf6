"""``avatarl compare``: the table, the plots and the page of any runs.

Nothing heavy is imported before it is needed, so that ``avatarl --help`` stays quick.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from avatarl import terminal
from avatarl.cli.options import add_number, add_output_dir
from avatarl.errors import ConfigError, UserError
from avatarl.report.metrics import AXES

if TYPE_CHECKING:
    from rich.console import Console

    from avatarl.report.comparison import Comparison
    from avatarl.report.load import Runs

_FORMATS = ("rich", "csv", "json", "markdown", "latex")
_STYLES = ("screen", "page", "column")
_DEFAULT_PORT = 8642
_MOST_WARNINGS = 20
HELP = "compare runs: a table, plots, one page"
DESCRIPTION = """\
Compare runs from their files alone: one row a configuration, seeds aggregated.
Runs on different corpora, tracks or strides of evaluation get tables of their own;
unfinished and failed seeds are named, never averaged in."""
EPILOG = """\
examples:
  avatarl compare demo                                    a sweep by its name
  avatarl compare outputs/runs/avatarl-1f* demo           runs by glob, and a sweep
  avatarl compare demo --where 'reward.confidence_weight>0 and reference.name=="ngram4"'
  avatarl compare demo --against control --metrics val/nats,val/ece
  avatarl compare demo --group-by reference.name --format latex
  avatarl compare demo --plot plots --html demo.html
  avatarl compare demo --html demo.html --inspect "To be, or not to b"
  avatarl compare demo --serve                            follows the runs in a browser"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to ``parser``."""
    parser.description = DESCRIPTION
    parser.epilog = EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "selection", nargs="*", metavar="RUNS",
        help="sweeps or runs: a path, a name, an id (or its start) or a glob; all by default",
    )  # fmt: skip
    add_output_dir(parser)
    parser.add_argument(
        "--where", action="append", default=[], metavar="EXPR",
        help="keep only runs for which this holds: comparisons of keys (reference.name), metrics "
        "(val/nats) or facts (state, seed), joined by and, or, not; may be given again",
    )  # fmt: skip
    parser.add_argument(
        "--metrics", action="append", default=[], metavar="NAME,…",
        help="the metrics to show; the first is tested by --against and drawn over the swept keys",
    )  # fmt: skip
    parser.add_argument(
        "--sort", default="", metavar="NAME",
        help="a metric or key to sort by, best first; turned round by --sort=-NAME",
    )  # fmt: skip
    parser.add_argument(
        "--group-by", action="append", default=[], metavar="KEY,…",
        help="average over everything but these keys (never over corpora, tracks, strides or code)",
    )  # fmt: skip
    parser.add_argument(
        "--against", default="", metavar="BASELINE",
        help="test each row against this one, paired by seed: control, best, a run's name or id, "
        "or a filter that fits one row",
    )  # fmt: skip
    parser.add_argument(
        "--interval", choices=("t", "bootstrap"), default="t",
        help="how the 95 %% interval over seeds is made (t)",
    )  # fmt: skip
    parser.add_argument(
        "--format", choices=_FORMATS, default="rich", help="how the table is written (rich)"
    )
    parser.add_argument(
        "--json",
        action="store_const",
        dest="format",
        const="json",
        help="as --format json",
    )
    parser.add_argument(
        "--plot", type=Path, metavar="DIR", help="also write the plots there, as PNG, SVG and PDF"
    )
    parser.add_argument(
        "--plots", action="append", default=[], metavar="NAME,…",
        help="which plots --plot writes: by name (curves, heatmap), or the dotted name of a module "
        "with draw(data); all by default",
    )  # fmt: skip
    parser.add_argument(
        "--style", choices=_STYLES, default="screen",
        help="what --plot's pictures are for: a screen, or a page or a column of a paper (screen)",
    )  # fmt: skip
    parser.add_argument(
        "--x", choices=tuple(AXES), default="characters",
        help="what curves are drawn against, in plots and page (characters); an epoch is as many "
        "characters as the training text has",
    )  # fmt: skip
    parser.add_argument(
        "--html", type=Path, metavar="FILE", help="also write one self-contained page"
    )
    parser.add_argument(
        "--inspect", metavar="TEXT",
        help="with --html: what kept checkpoints of the best runs think may follow TEXT, and a "
        "held-out passage as they read it (at most 6 runs, 5 checkpoints each)",
    )  # fmt: skip
    parser.add_argument(
        "--serve", action="store_true",
        help="serve the page on this machine only; it reloads as the runs progress",
    )  # fmt: skip
    add_number(
        parser, "--port", kind=int, least=0, most=65535, default=_DEFAULT_PORT, metavar="N",
        help=f"for --serve; 0 takes any free one ({_DEFAULT_PORT})",
    )  # fmt: skip


def main(args: argparse.Namespace) -> int:
    """Run the command.

    Returns:
        0, or 2 if part of what was asked for can't be done (the rest is still shown).

    Raises:
        UserError: Nothing can be shown.
    """
    from avatarl.report.exports import RENDERERS
    from avatarl.report.terminal import print_comparison

    stderr = terminal.console(stderr=True)
    if args.inspect is not None and (args.html is None or not args.inspect):
        raise ConfigError("--inspect", args.inspect, "some text, with --html FILE")
    if args.serve:
        from avatarl.report.serve import serve

        # What isn't there is told at once, not when somebody opens the page.
        _tell(_load(args)[0], stderr)
        serve(lambda: _load(args), args.port, stderr, AXES[args.x])
        return 0
    plots = None
    if args.plot is not None:
        from avatarl.report.plots import find_plots, write_plots

        plots = find_plots(_split(args.plots))
    elif args.plots:
        raise UserError("--plots chooses what --plot DIR writes; valid: both or neither")
    runs, comparison = _load(args)
    if args.format == "rich":
        print_comparison(comparison, terminal.console())
    else:
        sys.stdout.write(RENDERERS[args.format](comparison))
        sys.stdout.flush()
    _tell(runs, stderr)
    if args.plot is not None:
        drawn = (runs, comparison, args.plot, plots, AXES[args.x], args.style)
        _write(args.plot, lambda: write_plots(*drawn))
        terminal.say(stderr, f"plots: {args.plot}")
    if args.html is not None:
        from avatarl.report.webpage import write_page

        inspect = args.inspect or ""
        _write(args.html, lambda: write_page(runs, comparison, args.html, AXES[args.x], inspect))
        terminal.say(stderr, f"page: {args.html}")
    return 2 if runs.errors else 0


def _tell(runs: Runs, stderr: Console) -> None:
    """Print what is wrong: every error, and as many warnings as anybody reads."""
    warnings = [problem for problem in runs.problems if problem not in runs.errors]
    for error in runs.errors:
        terminal.say(stderr, f"error: {error}", "red")
    for warning in warnings[:_MOST_WARNINGS]:
        terminal.say(stderr, f"warning: {warning}", "yellow")
    if len(warnings) > _MOST_WARNINGS:
        terminal.say(stderr, f"and {len(warnings) - _MOST_WARNINGS} more warnings", "yellow")


def _load(args: argparse.Namespace) -> tuple[Runs, Comparison]:
    from avatarl.report.load import load_runs

    runs = load_runs(args.selection, where=args.where, output_dir=args.output_dir)
    if not runs:
        raise UserError("; ".join(runs.errors))
    comparison = runs.compare(
        metrics=_split(args.metrics),
        sort=args.sort,
        group_by=_split(args.group_by),
        against=args.against,
        interval=args.interval,
    )
    return runs, comparison


def _split(words: Sequence[str]) -> list[str]:
    return [part.strip() for word in words for part in word.split(",") if part.strip()]


def _write(path: Path, write: Callable[[], object]) -> None:
    try:
        write()
    except OSError as error:
        raise UserError(f"{path} can't be written: {error.strerror or error}") from None
