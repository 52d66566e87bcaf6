"""Check a plain configuration against the typed settings, one clear error for the first fault."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import json
import math
import re
from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from avatarl.config.rules import check_combination
from avatarl.config.schema import GROUPS, RunConfig
from avatarl.errors import ConfigError, did_you_mean

MAX_SEED = 2**63 - 1


def parse(raw: Mapping[str, Any]) -> RunConfig:
    """Turn a resolved configuration into typed settings.

    Args:
        raw: Plain mapping, as composed from ``conf/`` or read back from a run's ``config.json``.

    Raises:
        ConfigError: A key is unknown, missing, of the wrong type or out of range, or two
            settings exclude each other.
    """
    top = ["name", "seed", "output_dir", *GROUPS]
    for key in raw:
        if key not in top:
            raise ConfigError(
                str(key), raw[key], f"one of {', '.join(top)}" + did_you_mean(str(key), top)
            )
    for key in top:
        if key not in raw:
            raise ConfigError(key, None, "a value; it is missing")
    parts = {group: _parse_group(group, package, raw[group]) for group, package in GROUPS.items()}
    values = {
        "name": _typed("name", str, raw["name"]),
        "seed": _typed("seed", int, raw["seed"]),
        "output_dir": _typed("output_dir", str, raw["output_dir"]),
        **parts,
    }
    if not 0 <= values["seed"] <= MAX_SEED:
        raise ConfigError("seed", values["seed"], f"an integer from 0 to {MAX_SEED}")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}", values["name"]):
        raise ConfigError(
            "name",
            values["name"],
            "1 to 100 letters, digits and . _ + -, beginning with a letter or digit",
            "it names a folder",
        )
    plain = {
        key: dataclasses.asdict(value) if key in parts else value for key, value in values.items()
    }
    config = RunConfig(**values, raw=json.loads(json.dumps(plain)))
    check_combination(config)
    return config


def _parse_group(group: str, package: str, value: Any) -> Any:
    if not isinstance(value, Mapping):
        raise ConfigError(group, value, f"an option of the group, as in conf/{group}/")
    kind = value.get("kind", value.get("name"))
    if not isinstance(kind, str) or not re.fullmatch(r"[a-z][a-z0-9_]*", kind):
        raise ConfigError(f"{group}.kind", kind, f"the name of a module in {package}")
    module = f"{package}.{kind}"
    try:
        option = importlib.import_module(module).Config
    except (ModuleNotFoundError, AttributeError) as error:
        if isinstance(error, ModuleNotFoundError) and error.name != module:
            raise
        raise ConfigError(f"{group}.kind", kind, f"a module in {package} with a Config") from None
    _check_keys(group, option, value)
    try:
        typed = _typed(group, option, value)
        # Components are options of the same group, each with settings of its own kind.
        if isinstance(value.get("components"), Mapping):
            parts = {
                name: _parse_group(f"{group}.components.{name}", package, part)
                for name, part in value["components"].items()
            }
            typed = dataclasses.replace(typed, components=parts)
        return typed
    except ConfigError as error:
        if error.key.split(".")[0] == group:
            raise
        raise ConfigError(f"{group}.{error.key}", error.value, error.valid, error.why) from None


def _check_keys(prefix: str, option: Any, value: Mapping[str, Any]) -> None:
    # pydantic ignores unknown keys of plain dataclasses, so they are compared here.
    known = [field.name for field in dataclasses.fields(option)]
    for key in value:
        if key not in known:
            raise ConfigError(
                f"{prefix}.{key}",
                value[key],
                f"one of {', '.join(known)}" + did_you_mean(str(key), known),
                "no such key",
            )
    for key in known:
        if key not in value:
            raise ConfigError(f"{prefix}.{key}", None, "a value; it is missing")


@functools.cache
def _adapter(option: Any) -> TypeAdapter[Any]:
    return TypeAdapter(option)


def _typed(key: str, option: Any, value: Any) -> Any:
    _check_finite(key, value)
    try:
        # JSON rules are strict about types, yet let a list be a tuple and 1 be 1.0.
        return _adapter(option).validate_json(json.dumps(value), strict=True)
    except ValidationError as error:
        # Where a number or a schedule may stand, the branch that got furthest knows best.
        first = max(error.errors(), key=lambda found: len(found["loc"]))
        path = ".".join([key, *(str(part) for part in first["loc"] if not _is_type_tag(part))])
        valid = re.sub(r"^Input should be (a |an )?(valid )?", "", first["msg"])
        if first["type"] == "missing":
            valid = "a value; it is missing"
        elif first["type"] == "unexpected_keyword_argument":
            valid = "no such key"
        raise ConfigError(path, first["input"], valid) from None
    except TypeError:
        raise ConfigError(key, value, "numbers, words, lists and mappings") from None


def _is_type_tag(part: int | str) -> bool:
    # In a union pydantic adds the branch's type to the location; the user's key ends before it.
    return (isinstance(part, str) and not part.isidentifier()) or part in {
        "int",
        "float",
        "str",
        "Schedule",
    }


def _check_finite(key: str, value: Any) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(key, value, "a finite number")
    if isinstance(value, Mapping):
        for name, item in value.items():
            _check_finite(f"{key}.{name}", item)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _check_finite(f"{key}.{index}", item)
