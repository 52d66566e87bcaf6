"""Nothing can be done with a stand-in for a number but to ask whether it is on, where declared."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from avatarl.interfaces import Coefficient, Schedule, current, hyperparameters_of, is_on, opaque
from avatarl.options import Option, read


@dataclass(frozen=True)
class Inner(Option):
    low: float


@dataclass(frozen=True)
class Outer(Option):
    weight: Coefficient
    plain: float | Schedule
    cap: float | None
    rates: tuple[float, ...]
    parts: dict[str, Inner]
    size: int
    word: str


RAMP = {"shape": "linear", "start": 0.0, "end": 1.0, "begin": 0.0, "until": 0.5}
RAW = {
    "name": "outer", "weight": 0.5, "plain": RAMP, "cap": 2.0, "rates": [1.0, 2.0],
    "parts": {"a": {"name": "inner", "low": -1.0}}, "size": 3, "word": "yes",
}  # fmt: skip
T = torch.ones(3)
USES: dict[str, Callable[[Any], object]] = {
    "product": lambda x: x * T,
    "product from the right": lambda x: T * x,
    "difference": lambda x: 1 - x,
    "power": lambda x: T**x,
    "comparison": lambda x: x < T,
    "equality": lambda x: x == 0,
    "condition": lambda x: bool(x),
    "clamp bound": lambda x: T.clamp(min=x),
    "clamp_min": lambda x: T.clamp_min(x),
    "fill": lambda x: torch.full_like(T, x),
    "lerp": lambda x: torch.lerp(T, T, x),
    "where": lambda x: torch.where(T > 0, T, x),
    "tensor": lambda x: torch.tensor(x),
    "tensor of a list": lambda x: torch.tensor([1.0, x]),
    "array": lambda x: np.asarray(x),
    "float": lambda x: float(x),
    "int": lambda x: int(x),
    "round": lambda x: round(x),
    "max": lambda x: max(x, 0.0),
    "math": lambda x: math.log(x),
    "text": lambda x: f"{x:g}",
    "key": lambda x: {x: 1},
}


def outer(**changes: object) -> Outer:
    raw = {**RAW, **changes}
    parts = {"a": Inner("inner", "inner", -1.0)}
    plain = read(Schedule, raw["plain"], "") if isinstance(raw["plain"], dict) else raw["plain"]
    rest = {key: raw[key] for key in ("weight", "cap", "size", "word")}
    settings: dict[str, Any] = {"plain": plain, "rates": (1.0, 2.0), "parts": parts, **rest}
    return opaque(Outer("outer", "outer", **settings), "reward")


@pytest.mark.parametrize("use", USES)
def test_whatever_is_done_with_it_names_the_key_and_what_to_write(use: str) -> None:
    settings = outer()
    places: dict[str, tuple[Any, str]] = {
        "reward.weight": (settings.weight, "hparams['weight']"),
        "reward.cap": (settings.cap, "hparams['cap']"),
        "reward.plain.start": (settings.plain.start, "current(self.plain, hparams, 'plain')"),
        "reward.rates.1": (settings.rates[1], "hparams['rates.1']"),
        "reward.parts.a.low": (settings.parts["a"].low, "hparams['low']"),
    }
    for key, (stand_in, instead) in places.items():
        with pytest.raises(TypeError) as caught:
            USES[use](stand_in)
        assert str(caught.value).startswith(f"{key} can't be read")
        assert instead in str(caught.value)


def test_what_makes_another_program_can_be_asked() -> None:
    assert is_on(outer().weight)
    assert not is_on(outer(weight=0.0).weight)
    assert is_on(outer().plain)  # a schedule
    assert outer(cap=None).cap is None
    assert (outer().size, outer().word) == (3, "yes")
    with pytest.raises(TypeError, match=r"reward\.plain is 0 .*Coefficient"):
        is_on(outer(plain=0.0).plain)


def test_the_tensors_it_points_to_are_there() -> None:
    hparams = hyperparameters_of(RAW, torch.device("cpu"))
    assert hparams["rates.1"].item() == 2.0
    hparams["progress"].fill_(0.25)
    assert current(outer().plain, hparams, "plain").item() == 0.5
    assert current(outer().weight, hparams, "weight").item() == 0.5
