"""A run's identity: a hash of everything that can change its result."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

ID_DIGITS = 16

# What names, watches, places or paces a run without changing what it computes.
_OUTSIDE = {
    "name": None,
    "output_dir": None,
    "tracking": None,
    "data": ["name", "kind", "path", "fallback"],  # the text itself is hashed
    "reference": ["cache_dir"],
    "trainer": ["name", "device", "threads", "compile", "checkpoint_every_s", "keep_checkpoints"],
}


def canonical(raw: Mapping[str, Any], corpus_sha256: str) -> str:
    """Write the settings that matter, with the text's hash, as one canonical JSON line."""
    settings: dict[str, Any] = {}
    for group, value in raw.items():
        outside = _OUTSIDE.get(group, [])
        if outside is None:
            continue
        if outside and isinstance(value, Mapping):
            value = {key: own for key, own in value.items() if key not in outside}
        settings[group] = value
    settings["corpus_sha256"] = corpus_sha256
    return json.dumps(settings, sort_keys=True, separators=(",", ":"), allow_nan=False)


def run_id(raw: Mapping[str, Any], corpus_sha256: str) -> str:
    """Return the run's id: 16 hex digits of a sha256.

    Args:
        raw: The parsed configuration (``RunConfig.raw``), in which 1 and 1.0 of a float key are
            already the same number. Order of keys doesn't matter; every default does.
        corpus_sha256: Hash of the text's UTF-8 bytes.
    """
    return hashlib.sha256(canonical(raw, corpus_sha256).encode()).hexdigest()[:ID_DIGITS]
