"""Finding sweeps and runs by name, prefix or path."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterable
from pathlib import Path

from avatarl.errors import UserError, did_you_mean

#: Where outputs are unless one says otherwise.
OUTPUTS = Path("outputs")


def add_output_dir(parser: argparse.ArgumentParser) -> None:
    """Add the option that says where outputs are."""
    parser.add_argument(
        "--output-dir",
        type=Path,
        default=OUTPUTS,
        help="where runs and sweeps are (default: outputs)",
    )


def spoken(sweep: Path) -> str:
    """What to type for a sweep: its name where that is found, else its path."""
    by_name = sweep.absolute().parent.parent == OUTPUTS.absolute()
    return shlex.quote(sweep.name if by_name else str(sweep))


def sweep_directory(name: str | None, output_dir: Path) -> Path:
    """The directory of a sweep.

    Args:
        name: Its name, a unique beginning of it, or a path; ``None``: the one started last.
        output_dir: Where outputs are.

    Raises:
        UserError: None, or several, match.
    """
    if name is not None and (Path(name) / "plan.json").exists():
        return Path(name)
    root = output_dir / "sweeps"
    planned = [path.parent for path in root.glob("*/plan.json")]
    if not planned:
        raise UserError(f"no sweeps in {root}")
    if name is None:
        return max(planned, key=lambda path: (path / "plan.json").stat().st_mtime)
    return _match("sweep", name, planned)


def run_directory(name: str, output_dir: Path) -> Path:
    """The directory of a run, by name, id, a unique beginning of either, or a path.

    Raises:
        UserError: None, or several, match.
    """
    if (Path(name) / "config.json").exists():
        return Path(name)
    root = output_dir / "runs"
    runs = [path.parent for path in root.glob("*/config.json")]
    by_id = [path for path in runs if path.name.rpartition("-")[2].startswith(name)]
    if len(by_id) == 1:
        return by_id[0]
    return _match("run", name, runs)


def _match(what: str, name: str, paths: Iterable[Path]) -> Path:
    by_name = {path.name: path for path in paths}
    if name in by_name:
        return by_name[name]
    found = sorted(known for known in by_name if known.startswith(name))
    if len(found) == 1:
        return by_name[found[0]]
    if found:
        raise UserError(f"{what} {name!r} is ambiguous: {', '.join(found[:10])}")
    shown = ", ".join(sorted(by_name)[:10]) or "none"
    raise UserError(f"no {what} {name!r}; there are: {shown}{did_you_mean(name, by_name)}")
