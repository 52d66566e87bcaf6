"""Check a plain configuration against the typed settings, one clear error for the first fault."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from avatarl.config.rules import check_combination
from avatarl.config.schema import RunConfig
from avatarl.options import read


def parse(raw: Mapping[str, Any]) -> RunConfig:
    """Turn a resolved configuration into typed settings.

    Args:
        raw: Plain mapping, as composed from ``conf/`` or read back from a run's ``config.json``.

    Raises:
        ConfigError: A key is unknown, missing, of the wrong type or out of range, or two
            settings exclude each other.
    """
    config = read(RunConfig, raw, "")
    check_combination(config)
    return config
