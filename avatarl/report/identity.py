"""What makes two runs the same configuration, and which keys tell configurations apart."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from avatarl.names import short_keys
from avatarl.report.metrics import DEFAULT, metric_heading
from avatarl.runs.headings import METRIC_OF
from avatarl.runs.identity import is_neutral, without_effect

#: Keys of no run that older configurations may hold.
_NOT_OF_A_RUN = ("hydra.", "launcher.")
SEED = "seed"
#: Headings that mean something else in a table: no key is shortened to one of them.
_TAKEN = frozenset({"run", "n", "seed", "state", "code", "p", *map(metric_heading, DEFAULT)})


def matters(key: str) -> bool:
    """Whether a configuration key can change a result (the seed aside)."""
    return not is_neutral(key) and key != SEED and not key.startswith(_NOT_OF_A_RUN)


def configuration_key(config: Mapping[str, Any]) -> str:
    """Return a string that is equal for runs that differ by their seed at most."""
    off = without_effect(config)
    kept = {key: value for key, value in config.items() if matters(key) and key not in off}
    return json.dumps(kept, sort_keys=True, default=str)


def differing_keys(configs: Sequence[Mapping[str, Any]], swept: Iterable[str] = ()) -> list[str]:
    """Return the keys by which ``configs`` differ, those that the sweep names first.

    A key inside a group that differs only because another option of the group was chosen (the
    order of another reference, say) follows from the option's name and is left out, unless the
    sweep names it.
    """
    names: dict[str, None] = {}
    for config in configs:
        off = without_effect(config)
        names.update(dict.fromkeys(key for key in config if matters(key) and key not in off))
    values = {key: [_word(config, key) for config in configs] for key in names}
    differ = [key for key in names if len(set(values[key])) > 1]
    order = {full_key(key, names): place for place, key in enumerate(swept)}
    kept = [key for key in differ if key in order or not _follows(key, values)]
    return sorted(kept, key=lambda key: order.get(key, len(order)))


def full_key(key: str, names: Iterable[str]) -> str:
    """Return the key meant by ``key``: a group means its option, a heading its metric."""
    known = set(names)
    meant = (key, f"{key}.name", METRIC_OF.get(key, key))
    return next((full for full in meant if full in known), key)


def _follows(key: str, values: Mapping[str, Sequence[str]]) -> bool:
    *groups, last = key.split(".")
    if last == "name":
        return False
    for depth in range(1, len(groups) + 1):
        group = ".".join(groups[:depth])
        # A group within a group (a reference's schedule) has a kind and no name.
        option = f"{group}.name" if f"{group}.name" in values else f"{group}.kind"
        if option != key and option in values and _decides(values[option], values[key]):
            return True
    return False


def _decides(options: Sequence[str], values: Sequence[str]) -> bool:
    if len(set(options)) == 1:
        return False
    seen: dict[str, str] = {}
    pairs = zip(options, values, strict=True)
    return all(seen.setdefault(option, value) == value for option, value in pairs)


def _word(config: Mapping[str, Any], key: str) -> str:
    if key not in config:
        return "absent"
    value = config[key]
    if isinstance(value, str | bool | int | float) or value is None:
        # Thousands of these are compared: repr is quick, and tells 1 from "1" and True.
        return repr(value)
    return json.dumps(value, sort_keys=True, default=str)


def short_names(keys: Sequence[str]) -> dict[str, str]:
    """Return a short heading for each key, the full key where shortening would confuse two."""
    return short_keys(keys, _TAKEN)
