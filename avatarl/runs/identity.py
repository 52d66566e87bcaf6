"""A run's identity: a hash of everything that can change its result."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from avatarl.runs.flatten import flatten
from avatarl.source import is_elsewhere, module_sha256

ID_DIGITS = 16

#: What names, watches, places or paces a run without changing what it computes.
_NEUTRAL = frozenset(
    {
        "name", "output_dir", "tracking",
        "data.name", "data.kind", "data.path", "data.fallback",  # the text itself is hashed
        "reference.cache_dir",
        "trainer.name", "trainer.device", "trainer.threads", "trainer.compile",
        "trainer.micro_batch_size",
        "trainer.checkpoint_every_s", "trainer.keep_checkpoints", "trainer.if_running",
    }
)  # fmt: skip
#: Groups whose options once had no ``kind`` beside their name; it counts where it says otherwise.
_ONCE_WITHOUT_KIND = ("explorer", "reward", "objective", "opponent", "optimizer")
#: Keys that came later, each with the value that reproduces what was before: not hashed with it.
_LATER: dict[str, Any] = {
    "data.dev_from": "end",
    "explorer.select_below": None,
    "explorer.proposal": "policy",
    "explorer.policy_temperature": 2.0,
    "explorer.stand_in": "policy",
    "objective.baseline_value": 1.0,
    "explorer.discounting": "step",
    "model.position": "learned",
    "model.dropout": 0.0,
    "model.prior_gate": "scalar",
    "model.prior_weight": 1.0,
    "reference.history": "window",
    "trainer.evaluation": "fixed",
    "trainer.adapt_every": 64,
    "trainer.adapt_lr": 0.01,
    "trainer.eval_dev": False,
    "trainer.keep_best": False,
    "trainer.patience": None,
    "trainer.average": "none",
    "trainer.average_decay": 0.999,
    "trainer.average_start": 0.0,
}

#: Members of an ensemble have the keys of a reference.
_MEMBER = re.compile(r"^reference\.members\.[^.]+\.")

_Flat = Mapping[str, Any]
#: Keys that other keys switch off, each with when, by dotted keys. A test trains both ways.
_SWITCHED_OFF: dict[str, Callable[[_Flat], bool]] = {
    "data.dev_fraction": lambda flat: not _cuts_development(flat),
    "data.dev_from": lambda flat: not _cuts_development(flat),
    "trainer.epochs": lambda flat: flat.get("trainer.steps") is not None,
    "explorer.select_share": lambda flat: (
        flat.get("explorer.select") == "all" or _is_set(flat, "explorer.select_below")
    ),
    "explorer.select_below": lambda flat: flat.get("explorer.select") == "all",
    "trainer.average_decay": lambda flat: flat.get("trainer.average") == "none",
    "trainer.average_start": lambda flat: flat.get("trainer.average") == "none",
    "trainer.adapt_every": lambda flat: flat.get("trainer.evaluation") == "fixed",
    "trainer.adapt_lr": lambda flat: flat.get("trainer.evaluation") == "fixed",
    "model.prior_gate": lambda flat: not flat.get("model.prior"),
    "model.prior_weight": lambda flat: not flat.get("model.prior"),
    "explorer.discount": lambda flat: flat.get("explorer.horizon") == 1,
    "explorer.policy_temperature": lambda flat: flat.get("explorer.proposal") != "tempered",
    "explorer.stand_in": lambda flat: flat.get("explorer.proposal") != "optimal",
    "objective.baseline_value": lambda flat: flat.get("objective.baseline") != "constant",
    "explorer.discounting": lambda flat: flat.get("explorer.horizon") == 1,
    "opponent.measure": lambda flat: (
        flat.get("opponent.size") == 1 or flat.get("opponent.strength") == 0
    ),
    "opponent.strength": lambda flat: flat.get("opponent.size") == 1,
    "optimizer.final_fraction": lambda flat: flat.get("optimizer.schedule") == "constant",
    "objective.covariance_share": lambda flat: flat.get("objective.covariance") == "none",
    "objective.covariance_kl_coef": lambda flat: (
        flat.get("objective.covariance") in ("none", "clip")
    ),
    "objective.kl_window": lambda flat: not _is_set(flat, "objective.kl_target"),
    "objective.ent_rate": lambda flat: not _controls_entropy(flat),
    "objective.ent_limit": lambda flat: not _controls_entropy(flat),
    "health.ent_boost": lambda flat: (
        not _follows(flat, {"act"}, "calibration", "confidence_collapse")
    ),
    "health.lr_cut": lambda flat: (
        not _follows(flat, {"act"}, "gradient_stability", "clipping", "nonfinite")
    ),
    "health.max_rollbacks": lambda flat: not _follows(flat, {"act"}, "nonfinite"),
}


def _cuts_development(flat: _Flat) -> bool:
    """Whether something follows a development slice, so that one is cut."""
    return bool(
        flat.get("reference.schedule.kind") in ("ladder", "hand_over")
        or flat.get("reference.schedule.hand_over")
        or flat.get("trainer.eval_dev")
        or flat.get("trainer.keep_best")
        or _follows(flat, {"act", "stop"}, "calibration", "confidence_collapse")
    )


def _is_set(flat: _Flat, key: str) -> bool:
    """Whether a key is a number or a schedule, and not null."""
    return flat.get(key) is not None or f"{key}.shape" in flat


def _controls_entropy(flat: _Flat) -> bool:
    return any(_is_set(flat, f"objective.{key}") for key in ("ent_min", "ent_max"))


def _follows(flat: _Flat, actions: set[str], *alarms: str) -> bool:
    return any(flat.get(f"health.on_{alarm}", "act") in actions for alarm in alarms)


def without_effect(flat: _Flat) -> set[str]:
    """Return the keys of a flat configuration that its other keys switch off.

    What a key means to an option from elsewhere (a dotted ``kind``) isn't known here.
    """
    return {
        key
        for key, is_off in _SWITCHED_OFF.items()
        if (key in flat or f"{key}.shape" in flat)
        and not _from_elsewhere(flat, key.partition(".")[0])
        and is_off(flat)
    }


def _from_elsewhere(flat: _Flat, group: str) -> bool:
    groups = (group, "reference") if group == "data" else (group,)
    return any("." in str(flat.get(f"{group}.kind", "")) for group in groups)


def is_neutral(key: str) -> bool:
    """Whether a dotted configuration key can't change a result."""
    return key in _NEUTRAL or key.partition(".")[0] in _NEUTRAL


def canonical(raw: Mapping[str, Any], corpus_sha256: str) -> str:
    """Write the settings that matter, with the text's hash, as one canonical JSON line."""
    return _line(_that_matter(raw, ""), corpus_sha256)


def canonical_effective(raw: Mapping[str, Any], corpus_sha256: str) -> str:
    """The same without keys that are switched off, and with each number written in one way."""
    return _line(_plainly(_that_matter(raw, "", without_effect(flatten(raw)))), corpus_sha256)


def _line(settings: dict[str, Any], corpus_sha256: str) -> str:
    settings = {**settings, "corpus_sha256": corpus_sha256}
    return json.dumps(settings, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _that_matter(
    settings: Mapping[str, Any], prefix: str, off: Collection[str] = ()
) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for name, value in settings.items():
        key = f"{prefix}{name}"
        if key in off or key in _NEUTRAL or (name == "kind" and _kind_came_later(key, settings)):
            continue
        later = _MEMBER.sub("reference.", key)
        if later in _LATER and value == _LATER[later]:
            continue
        if name == "kind" and is_elsewhere(value):
            # Another's module has no version that we know: what it computes is what it says.
            kept["source_sha256"] = module_sha256(value)
        kept[name] = _that_matter(value, f"{key}.", off) if isinstance(value, Mapping) else value
    return kept


def _plainly(value: Any) -> Any:
    """Write 1.0 as 1 and -0.0 as 0, wherever they stand."""
    if isinstance(value, Mapping):
        return {key: _plainly(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plainly(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _kind_came_later(key: str, option: Mapping[str, Any]) -> bool:
    group, name = key.partition(".")[0], option.get("name")
    once_without = group in _ONCE_WITHOUT_KIND or (group == "reference" and name == "none")
    return once_without and option["kind"] == name


#: How ids have been made, by the number that results carry; the newest is used for new runs.
_SCHEMAS: dict[int, Callable[[Mapping[str, Any], str], str]] = {
    1: canonical,
    2: canonical_effective,
}


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
