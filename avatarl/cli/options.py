"""Options that several commands share."""

from __future__ import annotations

import argparse
from pathlib import Path

from avatarl.errors import ConfigError
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


def add_member(parser: argparse.ArgumentParser) -> None:
    """Add the member of a population that a command looks at."""
    parser.add_argument(
        "--member", type=int, default=0, metavar="N",
        help="of a population (opponent=population); 0, the default, is the run's own policy",
    )  # fmt: skip


def check_member(member: int, size: int) -> None:
    """Refuse a member that a run doesn't have."""
    if not 0 <= member < size:
        raise ConfigError("--member", member, f"0 to {size - 1}" if size > 1 else "0, the only one")


def add_sweep(parser: argparse.ArgumentParser) -> None:
    """Add the sweep that a command looks at; the one started last by default."""
    parser.add_argument(
        "sweep", nargs="?", help="name, beginning of it, or path; default: the last"
    )


def add_runs(parser: argparse.ArgumentParser) -> None:
    """Add the runs that a command works on."""
    parser.add_argument("runs", nargs="*", help="sweeps, runs, ids or globs (default: all)")
