"""What makes runs one program: their settings without the numbers that a step reads as tensors."""

from __future__ import annotations

import dataclasses
import hashlib

from avatarl.config.schema import RunConfig
from avatarl.interfaces import opaque

_GROUPS = ("explorer", "reward", "objective", "opponent")
_TRAINER = ("batch_size", "precision", "device", "compile")


def structure_of(config: RunConfig) -> RunConfig:
    """Return the settings that a step is built from: what it plays by is opaque."""
    parts = {group: opaque(getattr(config, group), group) for group in _GROUPS}
    return dataclasses.replace(config, **parts)


def structure_key(config: RunConfig) -> str:
    """Equal for runs whose steps are one program, whatever their numbers are; 12 hex digits.

    It is made of what the parts of a step can see of their settings, so that they can't depend on
    more. Optimisers, seeds, lengths and the tables of references are each run's own.
    """
    # What the league reads of its own numbers paces a run's past selves, outside of the step.
    structure = structure_of(config)
    seen = {
        group: dataclasses.asdict(getattr(structure, group))
        for group in (*_GROUPS, "model", "data")
    }
    seen["trainer"] = {key: getattr(config.trainer, key) for key in _TRAINER}
    seen["reference"] = {
        "available": config.reference.available,
        "gates": config.reference.gates,
    }
    if config.model.gates_members:
        seen["reference"]["parts"] = config.reference.parts
    return hashlib.sha256(repr(sorted(seen.items())).encode()).hexdigest()[:12]
