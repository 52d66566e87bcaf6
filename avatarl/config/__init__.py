"""From a plain, resolved configuration to typed settings and a run's identity (no Hydra here)."""

from avatarl.config.parse import parse
from avatarl.config.schema import GROUPS, RunConfig
from avatarl.config.structure import structure_key, structure_of
from avatarl.runs.identity import run_id

__all__ = ["GROUPS", "RunConfig", "parse", "run_id", "structure_key", "structure_of"]
