"""Everything that compares runs: it reads their files and nothing else.

Importing this package is cheap; the dataframe and plotting libraries load when a function needs
them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def summarise_sweep(sweep_directory: Path, console: Console | None = None) -> None:
    """Print a sweep's comparison and write it beside the sweep's plan.

    Writes ``comparison.txt``, ``comparison.csv`` and ``comparison.png`` into the directory.

    Args:
        sweep_directory: ``outputs/sweeps/<name>``, which holds ``plan.json``.
        console: Where the table is printed; standard output by default.

    Raises:
        UserError: The directory holds no readable ``plan.json``.
    """
    from avatarl.report.summary import summarise_sweep as summarise

    summarise(Path(sweep_directory), console)


__all__ = ["summarise_sweep"]
