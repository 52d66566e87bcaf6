"""Options that several commands share."""

from __future__ import annotations

import argparse
from pathlib import Path

from avatarl.runs.find import OUTPUTS


def add_output_dir(parser: argparse.ArgumentParser) -> None:
    """Add the option that says where runs and sweeps are looked up."""
    parser.add_argument(
        "--output-dir",
        type=Path,
        default=OUTPUTS,
        metavar="DIR",
        help="output directory that names and ids are looked up in (default: outputs)",
    )


def add_sweep(parser: argparse.ArgumentParser) -> None:
    """Add the sweep that a command looks at; the one started last by default."""
    parser.add_argument(
        "sweep", nargs="?", help="name, beginning of it, or path; default: the last"
    )


def add_runs(parser: argparse.ArgumentParser) -> None:
    """Add the runs that a command works on."""
    parser.add_argument("runs", nargs="*", help="sweeps, runs, ids or globs (default: all)")
