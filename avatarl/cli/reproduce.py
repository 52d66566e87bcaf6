"""``avatarl reproduce RUN``: run a run again from its bundle and say whether the metrics match."""

from __future__ import annotations

import argparse

from avatarl import terminal
from avatarl.cli.options import add_number, add_output_dir
from avatarl.runs.find import find_run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("run", help="a run's name or id, a beginning of either, or its path")
    add_number(
        parser, "--tolerance", kind=float, least=0, default=0.0, help="largest difference allowed"
    )
    add_number(parser, "--threads", kind=int, least=1, help="CPU threads (default: as the run had)")
    add_output_dir(parser)


def main(args: argparse.Namespace) -> int:
    """Exit code 0 when every metric matches, 1 when one doesn't."""
    from avatarl.sweep import reproduce

    terminal.outlive()
    directory = find_run(args.run, args.output_dir).path.absolute()
    return reproduce.reproduce(directory, args.tolerance, args.threads, terminal.console())
