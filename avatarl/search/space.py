"""What a search may choose from: for each key an interval of numbers, or words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import yaml

#: Digits of a proposed number: as many as anybody wants to read.
_DIGITS = 6


@dataclass(frozen=True)
class Interval:
    """Numbers from one to another, both included.

    Attributes:
        integer: Whole numbers alone.
        log: Each factor is as likely as any other.
        step: From one number to the next; None: all between them.
    """

    low: float
    high: float
    integer: bool = False
    log: bool = False
    step: float | None = None

    @property
    def size(self) -> float:
        """How many numbers it holds; infinity where they have no step."""
        step = self.step or (1 if self.integer else 0)
        return round((self.high - self.low) / step) + 1 if step else math.inf

    def at(self, share: float) -> str:
        """Return the word that lies at a share, at least 0 and below 1, of the way."""
        if self.step is not None:
            return self.word(self.low + math.floor(share * self.size) * self.step)
        low, high = (self.low, self.high + 1) if self.integer else (self.low, self.high)
        if self.log:
            number = math.exp(math.log(low) + share * (math.log(high) - math.log(low)))
        else:
            number = low + share * (high - low)
        return self.word(math.floor(number) if self.integer else number)

    def word(self, number: float) -> str:
        """Return a number as it is typed."""
        if self.integer:
            return str(min(round(self.high), max(round(self.low), round(number))))
        return repr(min(self.high, max(self.low, float(f"{number:.{_DIGITS}g}"))))

    def find(self, value: Any) -> str | None:
        """Return the word for a value, if it is in here."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        if not self.low <= value <= self.high or (self.integer and value != round(value)):
            return None
        if self.step is not None:
            places = (value - self.low) / self.step
            if abs(places - round(places)) > 1e-6:
                return None
        return str(round(value)) if self.integer else repr(float(value))


@dataclass(frozen=True)
class Choice:
    """Words in no order."""

    words: tuple[str, ...]

    @property
    def size(self) -> float:
        """How many words there are."""
        return len(self.words)

    def at(self, share: float) -> str:
        """Return the word that lies at a share, at least 0 and below 1, of the way."""
        return self.words[math.floor(share * len(self.words))]

    def find(self, value: Any) -> str | None:
        """Return the word for a value, if it is in here."""
        return next((word for word in self.words if yaml.safe_load(word) == value), None)


Dimension = Interval | Choice
Space = Mapping[str, Dimension]


def to_json(space: Space) -> dict[str, Any]:
    """The space as files hold it."""
    return {
        key: list(one.words) if isinstance(one, Choice) else asdict(one)
        for key, one in space.items()
    }


def words_of(space: Space, overrides: Sequence[str]) -> dict[str, str] | None:
    """Return what overrides say of each key; None: they don't say it of all."""
    typed = dict(override.partition("=")[::2] for override in overrides)
    return {key: typed[key] for key in space} if space.keys() <= typed.keys() else None
