"""From what a user typed to a search's space, in Hydra's own words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep
from hydra.errors import HydraException

from avatarl.errors import ConfigError
from avatarl.search.space import Choice, Dimension, Interval

_INTERVALS = "interval(low,high), int(interval(low,high)) or tag(log,interval(low,high))"


def read_space(
    typed: Sequence[str], params: Mapping[str, Any] | None, loader: ConfigLoader
) -> tuple[list[str], dict[str, Dimension]]:
    """Tell what is searched from what is the same for all runs.

    Args:
        typed: Overrides on the command line; they take the place of those in a file.
        params: Keys and values in a file, in the same words; a list is a choice.
        loader: Knows the groups' options, for ``glob``.

    Returns:
        Overrides of all runs, and the space by key.

    Raises:
        ConfigError: A key has two values or spaces, or an interval can't be used.
    """
    parser = OverridesParser.create(config_loader=loader)
    found: dict[str, tuple[str, Override]] = {}
    for word in typed:
        override = _parsed(parser, word)
        key = override.get_key_element()
        if key in found and (override.is_sweep_override() or found[key][1].is_sweep_override()):
            why = f"{found[key][0]} is there as well"
            raise ConfigError(key, word.partition("=")[2], "one value or space a key", why)
        found[key] = word, override
    for key, value in (params or {}).items():
        if isinstance(value, list | tuple):
            value = f"choice({','.join(map(str, value))})"
        override = _parsed(parser, word := f"{key}={value}")
        found.setdefault(override.get_key_element(), (word, override))
    fixed = [word for word, override in found.values() if not override.is_sweep_override()]
    space = {
        key: _dimension(key, word, override)
        for key, (word, override) in found.items()
        if override.is_sweep_override()
    }
    if not space:
        valid = "a key to search, such as 'optimizer.lr=tag(log,interval(1e-4,1e-2))'"
        raise ConfigError("hydra/sweeper", "search", valid, "no key has more than one value")
    return fixed, space


def check_same(now: Mapping[str, Any], before: Mapping[str, Any]) -> None:
    """Refuse to continue a search with another space; both as files hold them.

    Raises:
        ConfigError: On the first key that differs.
    """
    for key in [*now, *before]:
        if now.get(key) != before.get(key):
            valid = f"what it began with: {_spoken(before.get(key))}; or another sweep_name"
            raise ConfigError(key, _spoken(now.get(key)), valid, "a search has one space")


def _spoken(dimension: Any) -> str:
    if dimension is None:
        return "no space"
    if isinstance(dimension, list):
        return ",".join(dimension)
    low, high, step = (dimension[key] for key in ("low", "high", "step"))
    if step is not None:
        return f"range({low:g},{high + step:g},{step:g})"
    ends = f"interval({low:g},{high:g})"
    ends = f"int({ends})" if dimension["integer"] else ends
    return f"tag(log,{ends})" if dimension["log"] else ends


def _parsed(parser: OverridesParser, word: str) -> Override:
    try:
        return parser.parse_override(word)
    except HydraException as error:
        key, _, text = word.partition("=")
        if "interval(" not in text:
            raise
        why = str(error).partition("\n")[0].rpartition("': ")[2]
        raise ConfigError(key, text, _INTERVALS, why) from None


def _dimension(key: str, word: str, override: Override) -> Dimension:
    text, value = word.partition("=")[2], override._value
    tags: set[str] = getattr(value, "tags", set())
    if tags - {"log"}:
        raise ConfigError(key, text, "tag(log,…)", f"unknown: {', '.join(sorted(tags - {'log'}))}")
    if isinstance(value, IntervalSweep):
        low, high = value.start, value.end
        if low is None or high is None or not low < high:
            raise ConfigError(key, text, _INTERVALS, "its low end isn't below its high end")
        if tags and low <= 0:
            raise ConfigError(key, text, "a low end above 0", "it has a logarithm")
        whole = isinstance(low, int) and isinstance(high, int)
        return Interval(low, high, integer=whole, log=bool(tags))
    if tags:
        raise ConfigError(key, text, "tag(log,interval(low,high))", "only intervals have one")
    if isinstance(value, RangeSweep):
        return _range(key, text, value)
    words = tuple(dict.fromkeys(override.sweep_string_iterator()))
    if not words:
        raise ConfigError(key, text, "a list of values", "it stands for no value at all")
    if isinstance(value, ChoiceSweep) and any(
        isinstance(item, IntervalSweep | RangeSweep | ChoiceSweep) for item in value.list or ()
    ):
        raise ConfigError(key, text, "values, or one interval", "a sweep within a sweep")
    return Choice(words)


def _range(key: str, text: str, value: RangeSweep) -> Interval:
    start, stop, step = (Decimal(str(one)) for one in (value.start, value.stop, value.step))
    # As Hydra counts: the stop is no part of it.
    count = math.ceil((stop - start) / step) if step > 0 else 0
    if count < 1:
        raise ConfigError(key, text, "range(start,stop,step) with a start below its stop")
    whole = all(isinstance(one, int) for one in (value.start, value.stop, value.step))
    high = float(start + (count - 1) * step)
    return Interval(float(start), high, integer=whole, step=float(step))
