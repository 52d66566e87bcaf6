"""The typed settings of one run: one frozen dataclass a group."""

from __future__ import annotations

import dataclasses
import functools
import json
import typing
from dataclasses import dataclass
from typing import Any

from avatarl.config.health import Config as HealthConfig
from avatarl.config.trainer import Config as TrainerConfig
from avatarl.data.base import Config as DataConfig
from avatarl.errors import ConfigError
from avatarl.explorer.base import Config as ExplorerConfig
from avatarl.model.base import Config as ModelConfig
from avatarl.names import check_name, check_words
from avatarl.objective.base import Config as ObjectiveConfig
from avatarl.opponent.base import Config as OpponentConfig
from avatarl.optimizer.base import Config as OptimizerConfig
from avatarl.options import Option
from avatarl.reference.base import Config as ReferenceConfig
from avatarl.reward.base import Config as RewardConfig
from avatarl.tracking.base import Config as TrackingConfig

MAX_SEED = 2**63 - 1


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

    def __post_init__(self) -> None:
        """Refuse a seed out of range, and names that can't name a folder."""
        if not 0 <= self.seed <= MAX_SEED:
            raise ConfigError("seed", self.seed, f"an integer from 0 to {MAX_SEED}")
        check_name("name", self.name)
        check_words("output_dir", self.output_dir, 3_000)

    @property
    def track(self) -> str:
        """What results compare with: how much of the text rewards and evaluation gave away."""
        return self.explorer.track + ("_adaptive" if self.trainer.evaluation == "dynamic" else "")

    @property
    def label_statistics(self) -> str:
        """Where counts of the text's labels reach the policy: none, training or prediction."""
        if self.model.prior:
            return "prediction"
        parts = (self.reward, self.objective, self.explorer)
        reads = self.reward.reads_text or any(part.needs_reference for part in parts)
        return "training" if reads else "none"

    @functools.cached_property
    def raw(self) -> dict[str, Any]:
        """The same settings as a plain mapping of JSON values; what files and workers carry."""
        plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self)))
        return plain


# Where each group's options live: module ``<package>.<kind>`` exports ``Config``.
GROUPS = {
    group: base.__module__.rpartition(".")[0]
    for group, base in typing.get_type_hints(RunConfig).items()
    if issubclass(base, Option)
}
