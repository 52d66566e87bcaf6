"""What is wrong with an override, in one line: from Hydra's errors, OmegaConf's and our own."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from avatarl.composition.shipped import compose_shipped
from avatarl.errors import UserError, did_you_mean


def describe_error(error: BaseException, overrides: Sequence[str] = ()) -> str:
    """Tell in one line what is wrong with what the user typed.

    Args:
        error: From Hydra, OmegaConf or our own checks.
        overrides: What was typed, to find out what would have been valid.
    """
    if isinstance(error, UserError):
        return str(error)
    # A slip that Hydra takes for replacing all settings of the launcher by one word.
    slips = (re.fullmatch(r"hydra\.(launcher|sweeper)=(\w+)", word) for word in overrides)
    if slip := next(filter(None, slips), None):
        return f"{slip[0]!r} can't be used; valid: hydra/{slip[1]}={slip[2]}"
    if isinstance(error, MissingConfigException):
        missing = error.missing_cfg_file or ""
        group, _, option = str(missing).rpartition("/")
        valid = [str(name) for name in error.options or []]
        if group and valid:
            hint = did_you_mean(option, valid)
            return f"{group}={option!r} can't be used; valid: {', '.join(valid)}{hint}"
        return _flat(str(error))
    if isinstance(error, OverrideParseException):
        return f"{error.override!r} can't be read as an override: {_flat(str(error.message))}"
    if isinstance(error, ConfigCompositionException):
        return _describe_composition(error, overrides)
    if isinstance(error, OSError):
        reason = (error.strerror or str(error)).lower()
        return f"output_dir: {error.filename}: {reason}; valid: a folder that can be written to"
    return _flat(str(error))


def _describe_composition(error: ConfigCompositionException, overrides: Sequence[str]) -> str:
    text = str(error)
    unknown_key = re.search(r"Could not (?:override|delete) '([^']+)'", text)
    if unknown_key:
        key = unknown_key.group(1)
        valid = _valid_siblings(key, overrides)
        value = next((o.split("=", 1)[1] for o in overrides if o.startswith(f"{key}=")), None)
        if valid:
            hint = did_you_mean(key.rpartition(".")[2], valid)
            return f"{key}={value!r} can't be used (no such key); valid: {', '.join(valid)}{hint}"
    unknown_group = re.search(r"Could not override '([^']+)'\. No match in the defaults", text)
    if unknown_group:
        from avatarl.config import GROUPS

        key = unknown_group.group(1)
        valid = [*GROUPS, "name", "seed", "output_dir"]
        return f"{key!r} is no group or key; valid: {', '.join(valid)}{did_you_mean(key, valid)}"
    cause = error.__cause__
    return _flat(f"{text} {cause}" if cause is not None and str(cause) not in text else text)


def _valid_siblings(key: str, overrides: Sequence[str]) -> list[str]:
    """Keys beside a key that isn't there, given the options that were chosen."""
    from avatarl.config import GROUPS

    groups = (*GROUPS, "hydra/launcher")
    chosen = [
        o
        for o in overrides
        if re.fullmatch(r"[a-z_/]+=[a-z0-9_]+", o) and o.split("=")[0] in groups
    ]
    try:
        config = compose_shipped(chosen, with_hydra=key.startswith("hydra."))
        parent = OmegaConf.select(config, key.rpartition(".")[0]) if "." in key else config
    except (HydraException, OmegaConfBaseException):
        return []
    if not isinstance(parent, DictConfig):
        return []
    return [str(name) for name in parent if name not in ("hydra", "_target_")]


def _flat(text: str) -> str:
    return " ".join(text.split())
