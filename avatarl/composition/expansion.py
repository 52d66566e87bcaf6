"""What a sweep's words stand for, worked out without Hydra's functions and compared with them.

Hydra's parser is used for the grammar alone; ranges, casts and sorting are computed here, over the
values themselves. Hydra 1.3 keeps a range as three numbers: ``sort(range(0,5,2),reverse=true)``
gives 3, 1, -1, and ``int(range(0,3,1.5))`` gives 0, 1, 2.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

# Private to Hydra: what its public parser evaluates functions with.
from hydra._internal.grammar.functions import FunctionCall, Functions
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Glob, Override, QuotedString, Sweep
from hydra.errors import HydraException

from avatarl.errors import ConfigError
from avatarl.text import shortened

#: More values than one word can be meant to stand for.
_MOST_VALUES = 100_000


class _Refused(Exception):
    """Why a word stands for nothing; ``valid`` says what would."""

    def __init__(self, why: str, valid: str) -> None:
        super().__init__(why)
        self.valid = valid


def check_expansion(words: Iterable[str], loader: ConfigLoader) -> None:
    """Refuse words of a sweep that Hydra would expand to something else than was typed.

    Args:
        words: Overrides as typed.
        loader: Knows the groups' options, for ``glob``.

    Raises:
        ConfigError: A word stands for no value, for too many, or for others than Hydra makes of it.
    """
    hydra = OverridesParser.create(config_loader=loader)
    for word in words:
        theirs = hydra.parse_overrides([word])[0]
        if not theirs.is_sweep_override():
            continue
        key, _, text = word.partition("=")
        try:
            values = _values(word, loader)
        except (_Refused, HydraException) as error:
            refused = error if isinstance(error, _Refused) else error.__context__
            while refused is not None and not isinstance(refused, _Refused):
                refused = refused.__context__
            if refused is None:
                raise
            raise ConfigError(key, text, refused.valid, str(refused)) from None
        prefix = theirs.get_key_element()
        try:
            made = [
                _plain(hydra.parse_override(f"{prefix}={value}").value())
                # One more than there should be shows that there are too many.
                for value in itertools.islice(theirs.sweep_string_iterator(), len(values) + 1)
            ]
        except Exception:
            made = []
        order = sorted if "shuffle" in text else list
        if order(map(repr, made)) != order(map(repr, values)):
            wrong = [value for value in map(repr, made) if value not in map(repr, values)] or made
            why = f"Hydra would make {', '.join(map(str, wrong[:6])) or 'nothing'} of it"
            raise ConfigError(key, text, _listed(key, values), shortened(why, 200))


def _values(word: str, loader: ConfigLoader) -> list[Any]:
    parsed = OverridesParser(_Expanding(), loader).parse_overrides([word])[0]
    value: Any = parsed._value
    if isinstance(value, Glob):
        options = loader.get_group_options(parsed.key_or_group)
        if not options:
            raise _Refused("glob chooses among the options of a group", "a group's name as key")
        found = value.filter(options)
        if not found:
            raise _Refused("no option matches", f"a glob of {', '.join(options)}")
        return list(found)
    assert isinstance(value, ChoiceSweep)
    return [_plain(item) for item in _flat(value)]


def _flat(sweep: ChoiceSweep) -> list[Any]:
    if not sweep.list:
        raise _Refused("it stands for no value at all", "a range or list that has some")
    items: list[Any] = list(sweep.list)
    if any(isinstance(item, Sweep | Glob) for item in items):
        parts = [
            part
            for item in items
            for part in (_flat(item) if isinstance(item, ChoiceSweep) else [item])
        ]
        listed = ",".join(_typed(_plain(part)) for part in parts[:20])
        raise _Refused("a sweep within a sweep", f"each value by itself: {listed}")
    return items


def _plain(value: Any) -> Any:
    if isinstance(value, QuotedString):
        return value.text
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {_plain(key): _plain(item) for key, item in value.items()}
    return value


def _typed(value: Any) -> str:
    if isinstance(value, str):
        return f"'{value}'"
    return str(Override._get_value_element_as_str(value))


def _listed(key: str, values: Sequence[Any]) -> str:
    more = ",…" if len(values) > 20 else ""
    return f"{key}={','.join(map(_typed, values[:20]))}{more}"


class _Expanding(Functions):
    """Evaluates the functions of Hydra's grammar to lists of values."""

    def eval(self, func: FunctionCall) -> Any:
        """Return a choice of explicit values, a list, or a single value."""
        function = getattr(self, f"_{func.name}", None)
        if function is None:
            raise _Refused(f"no function {func.name}", "choice, range, sort, shuffle or glob")
        try:
            return function(*func.args, **func.kwargs)
        except (TypeError, ValueError, ArithmeticError) as error:
            raise _Refused(str(error), "values of one kind, separated by commas") from None

    @staticmethod
    def _choice(*items: Any) -> ChoiceSweep:
        one = len(items) == 1 and isinstance(items[0], ChoiceSweep)
        return ChoiceSweep(list=list(items[0].list if one else items))

    @staticmethod
    def _range(start: Any, stop: Any = None, step: Any = 1) -> ChoiceSweep:
        first, end = (start, stop) if stop is not None else (0, start)
        low, high, by = (Decimal(str(number)) for number in (first, end, step))
        if by == 0:
            raise _Refused("a step of 0", "a step above or below 0")
        if (high - low) / by > _MOST_VALUES:
            raise _Refused("too many values", f"at most {_MOST_VALUES:,} values")
        kind = int if all(type(number) is int for number in (first, end, step)) else float
        values: list[Any] = []
        while low < high if by > 0 else low > high:
            values.append(kind(low))
            low += by
        return ChoiceSweep(list=values)

    @staticmethod
    def _interval(*_: Any, **__: Any) -> Any:
        raise _Refused(
            "a grid has no values between two numbers",
            "range(start,stop,step), or hydra/sweeper=search",
        )

    @staticmethod
    def _tag(*arguments: Any, sweep: Any = None) -> Any:
        return arguments[-1] if sweep is None else sweep

    def _sort(self, *items: Any, sweep: Any = None, list: Any = None, reverse: Any = False) -> Any:
        return self._ordered(
            items, sweep, list, lambda values: sorted(values, key=_plain, reverse=reverse)
        )

    def _shuffle(self, *items: Any, sweep: Any = None, list: Any = None) -> Any:
        return self._ordered(items, sweep, list, lambda values: values)

    @staticmethod
    def _ordered(items: Any, sweep: Any, given: Any, order: Any) -> Any:
        if sweep is not None or given is not None:
            items = (given if sweep is None else sweep,)
        if len(items) != 1:
            return ChoiceSweep(list=order(list(items)))
        if isinstance(items[0], ChoiceSweep):
            return ChoiceSweep(list=order(list(items[0].list)))
        return order(items[0]) if isinstance(items[0], list) else items[0]

    def _int(self, *items: Any, value: Any = None) -> Any:
        return self._cast(items, value, int)

    def _float(self, *items: Any, value: Any = None) -> Any:
        return self._cast(items, value, float)

    def _str(self, *items: Any, value: Any = None) -> Any:
        return self._cast(
            items, value, lambda item: str(item).lower() if isinstance(item, bool) else str(item)
        )

    def _bool(self, *items: Any, value: Any = None) -> Any:
        def cast(item: Any) -> bool:
            if isinstance(item, str):
                return {"true": True, "false": False}[item.lower()]
            return bool(item)

        return self._cast(items, value, cast)

    def _cast(self, items: Any, value: Any, cast: Any) -> Any:
        if len(items) > 1:
            return ChoiceSweep(list=[self._cast((item,), None, cast) for item in items])
        item = items[0] if items else value
        if isinstance(item, ChoiceSweep):
            return ChoiceSweep(list=[self._cast((part,), None, cast) for part in item.list])
        if isinstance(item, list):
            return [self._cast((part,), None, cast) for part in item]
        if isinstance(item, dict):
            return {key: self._cast((part,), None, cast) for key, part in item.items()}
        return cast(_plain(item))

    @staticmethod
    def _glob(include: Any, exclude: Any = ()) -> Glob:
        def names(patterns: Any) -> list[str]:
            each = patterns if isinstance(patterns, list | tuple) else [patterns]
            return [str(_plain(pattern)) for pattern in each]

        return Glob(include=names(include), exclude=names(exclude or ()))
