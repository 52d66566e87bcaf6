"""Sweeps: a list of runs, planned first, each computed once, on this machine or on SLURM.

Nothing in this package imports torch when it is itself imported; training happens in worker
processes (:mod:`avatarl.sweep.workers.worker`). ``avatarl.sweep([...])`` carries one out.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from avatarl.report.load import Runs


class _Package(ModuleType):
    """This package, which takes the place of the function of its name once it is imported."""

    def __call__(self, overrides: Sequence[str] = (), *, config: str = "config") -> Runs:
        """Do as the function."""
        from avatarl import run_sweep

        return run_sweep(overrides, config=config)


sys.modules[__name__].__class__ = _Package
