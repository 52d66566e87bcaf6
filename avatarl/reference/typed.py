"""Check nested settings: those that one option of this group holds of another."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import Field, TypeAdapter, ValidationError

from avatarl.errors import ConfigError, did_you_mean

_T = TypeVar("_T")

#: Annotates a union of settings that their ``kind`` tells apart: errors then name the kinds.
BY_KIND: Any = Field(discriminator="kind")


def typed(option: type[_T], raw: Mapping[str, Any], key: str) -> _T:
    """Turn a plain mapping into the dataclass ``option``.

    Args:
        option: A dataclass of settings.
        raw: JSON values.
        key: Where the mapping stands, for errors.

    Raises:
        ConfigError: A key is unknown, missing, of the wrong type or out of range.
    """
    known = [field.name for field in dataclasses.fields(option)]  # type: ignore[arg-type]
    for name in raw:
        if name not in known:
            valid = f"one of {', '.join(known)}" + did_you_mean(name, known)
            raise ConfigError(f"{key}.{name}", raw[name], valid, "no such key")
    try:
        return TypeAdapter(option).validate_json(json.dumps(raw), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(
            ".".join([key, *map(str, first["loc"])]), first["input"], first["msg"]
        ) from None
