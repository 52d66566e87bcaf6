"""The typed settings of one run: one frozen dataclass a group."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from avatarl.config.health import Config as HealthConfig
from avatarl.config.trainer import Config as TrainerConfig
from avatarl.data.base import Config as DataConfig
from avatarl.explorer.base import Config as ExplorerConfig
from avatarl.model.gpt import Config as ModelConfig
from avatarl.objective.base import Config as ObjectiveConfig
from avatarl.opponent.base import Config as OpponentConfig
from avatarl.optimizer.base import Config as OptimizerConfig
from avatarl.reference.base import Config as ReferenceConfig
from avatarl.reward.base import Config as RewardConfig
from avatarl.tracking.base import Config as TrackingConfig

# Where each group's options live: module ``<package>.<kind>`` exports ``Config``.
GROUPS = {
    "data": "avatarl.data",
    "model": "avatarl.model",
    "reference": "avatarl.reference",
    "explorer": "avatarl.explorer",
    "reward": "avatarl.reward",
    "objective": "avatarl.objective",
    "opponent": "avatarl.opponent",
    "optimizer": "avatarl.optimizer",
    "trainer": "avatarl.config",
    "health": "avatarl.config",
    "tracking": "avatarl.tracking",
}


@dataclass(frozen=True)
class RunConfig:
    """Everything a run's result depends on, and where to put it."""

    name: str
    seed: int
    output_dir: str
    data: DataConfig
    model: ModelConfig
    reference: ReferenceConfig
    explorer: ExplorerConfig
    reward: RewardConfig
    objective: ObjectiveConfig
    opponent: OpponentConfig
    optimizer: OptimizerConfig
    trainer: TrainerConfig
    health: HealthConfig
    tracking: TrackingConfig
    # The same settings as a plain mapping of JSON values; what files and workers carry.
    raw: dict[str, Any] = field(repr=False, compare=False)
