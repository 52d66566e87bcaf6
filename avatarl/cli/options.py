"""Options that several commands share."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

from avatarl.errors import ConfigError
from avatarl.runs.find import OUTPUTS
from avatarl.typed import read_number


def add_number(
    parser: argparse.ArgumentParser,
    *flags: str,
    kind: type[int] | type[float],
    least: float,
    most: float = math.inf,
    **told: Any,
) -> None:
    """Add an option that holds a number; out of bounds, or infinite, it is refused by its name.

    Args:
        parser: The command's.
        flags: As argparse takes them; refused under the last.
        kind: Whole numbers, or all.
        least: The smallest that is taken.
        most: The largest.
        told: What else argparse is told.
    """
    bounds = f"at least {least}" if most == math.inf else f"from {least} to {most}"
    valid = f"{'a whole number' if kind is int else 'a number'}, {bounds}"

    def read(word: str) -> int | float:
        return read_number(flags[-1], word, valid, kind=kind, least=least, most=most)

    parser.add_argument(*flags, type=read, **told)


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
    add_number(
        parser, "--member", kind=int, least=0, default=0, metavar="N",
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
