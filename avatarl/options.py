"""Settings, from plain mappings to frozen dataclasses; the first fault is one clear error.

An option of a group is one module: a subclass of the group's ``Config`` with its types, ranges and
what it builds. The reader here serves groups, options within options, schedules and launchers.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import importlib.util
import inspect
import json
import math
import operator
import pkgutil
import re
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, TypeVar, Union

from avatarl.errors import ConfigError, did_you_mean
from avatarl.source import entry_points

T = TypeVar("T")


@dataclass(frozen=True)
class Option:
    """What every option of every group has.

    Attributes:
        name: Its own, as in ``conf/<group>/<name>.yaml``.
        kind: The module that declares it: one of the group's package, one that an installed
            package offers by an entry point, or any importable one by its dotted name. The same as
            ``name`` unless it is given.
    """

    name: str
    kind: str


@dataclass(frozen=True)
class Later:
    """Marks a key that came later, with what stands for it where a configuration lacks it.

    Runs of before can so be read, and presets of before be used. That value isn't part of a run's
    identity (``avatarl.runs.identity``).
    """

    value: Any


def read(declaration: type[T], raw: object, key: str) -> T:
    """Turn a plain mapping into a dataclass of settings.

    Args:
        declaration: The dataclass; of a group's options the base class, whose subclass is found by
            the mapping's ``kind``.
        raw: JSON values.
        key: Where the mapping stands in the configuration, for errors; empty at the top.

    Raises:
        ConfigError: A key is unknown, missing, of the wrong type or out of range.
    """
    if not isinstance(raw, Mapping):
        group = key.partition(".")[0]
        valid = f"an option of the group, as in conf/{group}/"
        if not issubclass(declaration, Option):
            valid = _describe([declaration])
        raise ConfigError(key, raw, valid)
    prefix = f"{key}." if key else ""
    if issubclass(declaration, Option):
        kind = raw.get("kind", raw.get("name"))
        if kind is None and "kind" not in raw:
            raise ConfigError(f"{prefix}name", None, "a value; it is missing")
        declaration, kind = _find(declaration, kind, f"{prefix}kind")
        raw = {**raw, "kind": kind}
    types = field_types(declaration)  # type: ignore[arg-type]
    for name in raw:
        if name not in types:
            valid = f"one of {', '.join(types)}" + did_you_mean(str(name), types)
            raise ConfigError(f"{prefix}{name}", raw[name], valid, "no such key")
    for name, hint in types.items():
        if name not in raw:
            later = [fact for fact in typing.get_args(hint) if isinstance(fact, Later)]
            if not later:
                raise ConfigError(f"{prefix}{name}", None, "a value; it is missing")
            raw = {**raw, name: later[0].value}
    values = {name: _read(hint, raw[name], f"{prefix}{name}") for name, hint in types.items()}
    try:
        return declaration(**values)
    except ConfigError as error:
        raise ConfigError(f"{prefix}{error.key}", error.value, error.valid, error.why) from None


def _find(base: type[T], kind: object, key: str) -> tuple[type[T], str]:
    """Import the subclass of a group's ``Config`` that a kind names.

    Returns:
        The class, and the kind: of one that an installed package offers, its module's full name.
    """
    package = base.__module__.rpartition(".")[0]
    why = ""
    if isinstance(kind, str) and re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", kind):
        module = kind if "." in kind else f"{package}.{kind}"
        if "." not in kind and importlib.util.find_spec(module) is None:
            module = entry_points(package).get(kind, module)
        try:
            found = getattr(importlib.import_module(module), "Config", None)
            if _is_option(found, base):
                ours = module.rpartition(".")[0] == package
                return found, kind if ours else module
            why = f"{module} has no Config of {package}"
        except ImportError as error:
            missing = isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(
                f"{error.name}."
            )
            why = "" if missing else str(error)
    options = [*_options(base), *entry_points(package)]
    valid = f"{', '.join(options)}, or the dotted name of a module with a Config of {package}"
    raise ConfigError(key, kind, valid + did_you_mean(str(kind), options), why)


def _is_option(found: Any, base: type[T]) -> typing.TypeGuard[type[T]]:
    # What a package's options share lies in its module ``base``.
    own = inspect.isclass(found) and found.__module__.rpartition(".")[2] != "base"
    return own and issubclass(found, base) and not inspect.isabstract(found)


def _options(base: type[Any]) -> list[str]:
    """The modules of a group's package that declare an option."""
    package = importlib.import_module(base.__module__.rpartition(".")[0])
    names = []
    for module in pkgutil.iter_modules(package.__path__):
        try:
            found = importlib.import_module(f"{package.__name__}.{module.name}")
        except ImportError:
            continue
        if _is_option(getattr(found, "Config", None), base):
            names.append(module.name)
    return sorted(names)


@functools.cache
def field_types(declaration: Any) -> dict[str, Any]:
    """Return the type of each field of a dataclass, with what annotates it."""
    hints = typing.get_type_hints(declaration, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(declaration)}


def _read(hint: Any, raw: object, key: str) -> Any:
    inner, *metadata = typing.get_args(hint) if typing.get_origin(hint) is Annotated else (hint,)
    if typing.get_origin(inner) is dict:
        _, item = typing.get_args(inner)
        if dataclasses.is_dataclass(item):
            if not isinstance(raw, Mapping):
                raise ConfigError(key, raw, "options, each by a name of one's own")
            return {name: _read(item, value, f"{key}.{name}") for name, value in raw.items()}
    members = typing.get_args(inner) if typing.get_origin(inner) in (Union, UnionType) else (inner,)
    nested: list[Any] = [member for member in members if dataclasses.is_dataclass(member)]
    plain = tuple(member for member in members if member not in nested)
    if not nested:
        return _read_value(hint, raw, key)
    simple: Any = None
    if plain:
        simple = functools.reduce(operator.or_, plain)
        for fact in metadata:
            simple = Annotated[simple, fact]
    if plain and not isinstance(raw, Mapping):
        try:
            return _read_value(simple, raw, key)
        except ConfigError as error:
            valid = f"{error.valid}, or {_describe(nested)}"
            raise ConfigError(error.key, error.value, valid, error.why) from None
    if len(nested) > 1:
        by_kind = {typing.get_args(field_types(one)["kind"])[0]: one for one in nested}
        kind = raw.get("kind") if isinstance(raw, Mapping) else raw
        if kind not in by_kind:
            where = f"{key}.kind" if isinstance(raw, Mapping) else key
            raise ConfigError(where, kind, ", ".join(by_kind) + did_you_mean(str(kind), by_kind))
        nested = [by_kind[kind]]
    found = read(nested[0], raw, key)
    for name in getattr(found, "IN_ITS_PLACE", ()):
        _read_value(simple, raw[name], f"{key}.{name}")  # type: ignore[index]
    return found


def _describe(declarations: Iterable[Any]) -> str:
    return " or ".join(f"{{{', '.join(field_types(one))}}}" for one in declarations)


@functools.cache
def _adapter(hint: Any) -> Any:
    # Not at the top: commands that only look do without, and start a tenth of a second sooner.
    from pydantic import TypeAdapter

    return TypeAdapter(hint)


def _read_value(hint: Any, raw: object, key: str) -> Any:
    _check_finite(key, raw)
    adapter = _adapter(hint)
    try:
        # JSON rules are strict about types, yet let a list be a tuple and 1 be 1.0.
        return adapter.validate_json(json.dumps(raw), strict=True)
    except TypeError:
        raise ConfigError(key, raw, "numbers, words, lists and mappings") from None
    except ValueError as error:  # pydantic's
        faults = error.errors()  # type: ignore[attr-defined]
        # Where one of several types may stand, the one that got furthest knows best.
        deepest = max(faults, key=lambda fault: len(fault["loc"]))
        place = _place(deepest["loc"], raw)
        alike = [fault for fault in faults if _place(fault["loc"], raw) == place]
        valid = dict.fromkeys(
            re.sub(r"^Input should be (an? valid )?", "", fault["msg"]) for fault in alike
        )
        raise ConfigError(".".join([key, *place]), deepest["input"], ", or ".join(valid)) from None


def _place(location: Iterable[int | str], raw: Any) -> list[str]:
    # Where several types may stand, pydantic adds the type's name, which is no part of the key.
    place = []
    for part in location:
        if part in (
            raw
            if isinstance(raw, Mapping)
            else range(len(raw) if isinstance(raw, list | tuple) else 0)
        ):
            place.append(str(part))
            raw = raw[part]
    return place


def _check_finite(key: str, value: object) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(key, value, "a finite number")
    if isinstance(value, Mapping):
        for name, item in value.items():
            _check_finite(f"{key}.{name}", item)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _check_finite(f"{key}.{index}", item)
