"""Stand-ins for a run's numbers in what its step is built from.

Runs that differ in numbers alone share one step, built from the settings of the first of them. Had
it read a number from its settings, the others would silently train with the first one's. So the
settings that explorers, rewards and objectives are built from hold no numbers: whatever they do
with a stand-in raises an error that says where the number is to be had. What makes another program
can be asked: whether a setting is null, a schedule, and, where its type says so, on at all.
"""

from __future__ import annotations

import copy
import dataclasses
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

from avatarl.options import Option, field_types

T = TypeVar("T")


@dataclass(frozen=True)
class Switch:
    """Marks the type of a number that the program may ask to be on, that is, not always 0."""


class Number:
    """Stands in for a number.

    Args:
        key: Full dotted key of the setting.
        name: Its name among the numbers (``hparams``) of the option it belongs to.
        on: Whether it isn't 0; None where that may not be asked.
    """

    def __init__(self, key: str, name: str, on: bool | None) -> None:
        self._key, self._name, self._on = key, name, on

    def is_on(self) -> bool:
        """Whether the number isn't 0.

        Raises:
            TypeError: Its type doesn't say that this makes another program.
        """
        if self._on is None:
            raise TypeError(
                f"whether {self._key} is 0 may not decide what is computed: runs that differ in it "
                f"share one step; declare it as a Coefficient, or compute with hparams"
                f"[{self._name!r}] whatever its value is"
            )
        return self._on

    def _refuse(self, *args: object, **options: object) -> NoReturn:
        setting = self._name.split(".")[0]
        raise TypeError(
            f"{self._key} can't be read from the settings: runs that differ in it share one step; "
            f"use the tensor hparams[{self._name!r}], or current(self.{setting}, hparams, "
            f"{setting!r}) for what may be a schedule"
        )

    @classmethod
    def __torch_function__(
        cls,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> NoReturn:
        numbers = (one for one in [*args, *(kwargs or {}).values()] if isinstance(one, cls))
        next(numbers, cls("a setting", "…", None))._refuse()

    def __repr__(self) -> str:
        return "number" if self._on is None else "on" if self._on else "off"


_BINARY = "add sub mul matmul truediv floordiv mod divmod pow lshift rshift and xor or"
_OTHERS = (
    "neg pos abs invert lt le eq ne gt ge bool float int complex index round trunc floor ceil hash "
    "str format bytes len getitem iter contains array call"
)
for _name in [*_BINARY.split(), *(f"r{name}" for name in _BINARY.split()), *_OTHERS.split()]:
    setattr(Number, f"__{_name}__", Number._refuse)


def opaque(settings: T, key: str) -> T:
    """Copy settings with a stand-in for every float, in settings within them too.

    Args:
        settings: A dataclass of settings.
        key: Where they stand in the configuration.
    """
    copied: T = _opaque(settings, key, "")
    return copied


def _opaque(value: Any, key: str, name: str, on: bool | None = None) -> Any:
    if isinstance(value, float):
        return Number(key, name, None if on is None else value != 0)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        if isinstance(value, Option):
            name = ""  # its numbers go by names of their own
        copied = copy.copy(value)
        for field, hint in field_types(type(value)).items():
            switch = Switch() in typing.get_args(hint) or None
            inner = f"{name}.{field}" if name else field
            part = _opaque(getattr(value, field), f"{key}.{field}", inner, switch)
            object.__setattr__(copied, field, part)
        return copied
    if isinstance(value, Mapping):
        return {one: _opaque(part, f"{key}.{one}", f"{name}.{one}") for one, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(
            _opaque(part, f"{key}.{place}", f"{name}.{place}") for place, part in enumerate(value)
        )
    return value
