"""From a plain, resolved configuration to typed settings and a run's identity (no Hydra here)."""

from avatarl.config.identity import run_id
from avatarl.config.parse import parse
from avatarl.config.schema import GROUPS, RunConfig

__all__ = ["GROUPS", "RunConfig", "parse", "run_id"]
