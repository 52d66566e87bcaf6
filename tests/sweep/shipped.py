"""The launchers' settings as shipped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from avatarl.options import read
from avatarl.sweep.slurm.settings import SlurmSettings

CONF = Path(__file__).parents[2] / "conf" / "hydra" / "launcher"


def shipped(name: str) -> dict[str, Any]:
    """What ``hydra/launcher=NAME`` hands to its backend."""
    raw = yaml.safe_load((CONF / f"{name}.yaml").read_text())
    return {key: raw[key] for key in raw if key not in ("_target_", "control", "compare")}


def slurm(**changes: Any) -> SlurmSettings:
    return read(SlurmSettings, {**shipped("slurm"), **changes}, "hydra.launcher")
