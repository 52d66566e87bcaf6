"""Run folders named on the command line."""

from __future__ import annotations

import argparse
from pathlib import Path

from avatarl.errors import UserError
from avatarl.runs.select import select


def add_outputs(parser: argparse.ArgumentParser) -> None:
    """Add ``--output-dir``, where names and ids are looked up."""
    parser.add_argument(
        "--output-dir",
        dest="outputs",
        type=Path,
        default=Path("outputs"),
        help="output directory that names are looked up in (default: outputs)",
    )


def run_directories(words: list[str], outputs: Path) -> list[Path]:
    """Return the folders of the runs that ``words`` name; all runs for no words.

    Raises:
        UserError: Something named isn't there, or there is nothing at all.
    """
    selection = select(words, outputs)
    if selection.missing:
        raise UserError("; ".join(selection.missing))
    return [source.directory for source in selection.sources if source.directory.is_dir()]


def one_run(word: str, outputs: Path) -> Path:
    """Return the folder of the one run that ``word`` names.

    Raises:
        UserError: None or several are meant.
    """
    found = run_directories([word], outputs)
    if len(found) != 1:
        names = ", ".join([*(run.name for run in found[:5]), *(["…"] if len(found) > 5 else [])])
        raise UserError(f"{word!r} names {len(found)} runs, one is wanted: {names}")
    return found[0]
