"""The launchers' settings as shipped."""

from __future__ import annotations

from typing import Any

from avatarl.composition.shipped import launcher_settings as shipped
from avatarl.options import read
from avatarl.sweep.slurm.settings import SlurmSettings

__all__ = ["shipped", "slurm"]


def slurm(**changes: Any) -> SlurmSettings:
    return read(SlurmSettings, {**shipped("slurm"), **changes}, "hydra.launcher")
