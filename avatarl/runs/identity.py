"""A run's identity: a hash of everything that can change its result."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

ID_DIGITS = 16

#: What names, watches, places or paces a run without changing what it computes.
_NEUTRAL = frozenset(
    {
        "name", "output_dir", "tracking",
        "data.name", "data.kind", "data.path", "data.fallback",  # the text itself is hashed
        "reference.cache_dir",
        "trainer.name", "trainer.device", "trainer.threads", "trainer.compile",
        "trainer.checkpoint_every_s", "trainer.keep_checkpoints",
    }
)  # fmt: skip
#: Groups whose options once had no ``kind`` beside their name; it counts where it says otherwise.
_ONCE_WITHOUT_KIND = ("explorer", "reward", "objective", "opponent", "optimizer")
#: Keys that came later, each with the value that reproduces what was before: not hashed with it.
_LATER: dict[str, Any] = {}


def is_neutral(key: str) -> bool:
    """Whether a dotted configuration key can't change a result."""
    return key in _NEUTRAL or key.partition(".")[0] in _NEUTRAL


def canonical(raw: Mapping[str, Any], corpus_sha256: str) -> str:
    """Write the settings that matter, with the text's hash, as one canonical JSON line."""
    settings = {**_that_matter(raw, ""), "corpus_sha256": corpus_sha256}
    return json.dumps(settings, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _that_matter(settings: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    kept = {}
    for name, value in settings.items():
        key = f"{prefix}{name}"
        if key in _NEUTRAL or (name == "kind" and _kind_came_later(key, settings)):
            continue
        if key in _LATER and value == _LATER[key]:
            continue
        kept[name] = _that_matter(value, f"{key}.") if isinstance(value, Mapping) else value
    return kept


def _kind_came_later(key: str, option: Mapping[str, Any]) -> bool:
    group, name = key.partition(".")[0], option.get("name")
    once_without = group in _ONCE_WITHOUT_KIND or (group == "reference" and name == "none")
    return once_without and option["kind"] == name


#: How ids have been made, by the number that results carry; the newest is used for new runs.
_SCHEMAS: dict[int, Callable[[Mapping[str, Any], str], str]] = {1: canonical}


def id_schema() -> int:
    """The number of the way in which ids are made now."""
    return max(_SCHEMAS)


def run_ids(raw: Mapping[str, Any], corpus_sha256: str) -> list[str]:
    """Return a run's id by each schema there has been, the newest first; see :func:`run_id`."""
    texts = [_SCHEMAS[number](raw, corpus_sha256) for number in sorted(_SCHEMAS, reverse=True)]
    return [hashlib.sha256(text.encode()).hexdigest()[:ID_DIGITS] for text in texts]


def run_id(raw: Mapping[str, Any], corpus_sha256: str) -> str:
    """Return a run's id: 16 hex digits of a sha256.

    Args:
        raw: The parsed configuration (``RunConfig.raw``), in which 1 and 1.0 of a float key are
            already the same number. Order of keys doesn't matter; every default does.
        corpus_sha256: Hash of the text's UTF-8 bytes.
    """
    return run_ids(raw, corpus_sha256)[0]
