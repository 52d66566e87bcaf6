"""Spaces in Hydra's words."""

from __future__ import annotations

import json
from typing import Any

import pytest

from avatarl.composition.space import check_same, read_space
from avatarl.errors import ConfigError
from avatarl.search.space import Choice, Interval, to_json


def space(*words: str, params: Any = None) -> Any:
    loader: Any = None  # knows groups, of which there are none here
    return read_space(words, params, loader)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("interval(1,2)", Interval(1.0, 2.0)),
        ("int(interval(1,5))", Interval(1, 5, integer=True)),
        ("tag(log,interval(1e-4,1))", Interval(1e-4, 1.0, log=True)),
        ("tag(log,int(interval(1,64)))", Interval(1, 64, integer=True, log=True)),
        ("range(0,10,3)", Interval(0.0, 9.0, integer=True, step=3.0)),
        ("range(0,1,0.25)", Interval(0.0, 0.75, step=0.25)),
        ("choice(a,b)", Choice(("a", "b"))),
        ("1,2,x", Choice(("1", "2", "x"))),
        ("[1,2],[3]", Choice(("[1,2]", "[3]"))),
    ],
)
def test_hydras_words_say_what_may_be_chosen(text: str, wanted: object) -> None:
    fixed, found = space(f"key={text}", "seed=3", "seed=4")
    assert fixed == ["seed=4"]
    assert found == {"key": wanted}
    assert space("seed=3", params={"key": text})[1] == {"key": wanted}


def test_the_command_line_takes_the_place_of_a_file() -> None:
    fixed, found = space("a=3", "b=interval(0,1)", params={"a": "1,2", "b": "1,2", "c": [1, 2]})
    assert fixed == ["a=3"]
    assert found == {"b": Interval(0.0, 1.0), "c": Choice(("1", "2"))}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["a=interval(1)"], "missing a required argument: 'end'"),
        (["a=interval(2,1)"], "its low end isn't below its high end"),
        (["a=tag(log,interval(0,1))"], "a low end above 0"),
        (["a=tag(wild,interval(0,1))"], "unknown: wild"),
        (["a=tag(log,choice(1,2))"], "only intervals have one"),
        (["a=interval(0,1)", "a=1,2"], "a=interval(0,1) is there as well"),
        (["a=1"], "no key has more than one value"),
    ],
)
def test_what_is_no_space_is_refused_in_one_line(words: list[str], told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        space(*words)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_search_keeps_its_space() -> None:
    _, before = space("a=tag(log,interval(1,2))", "b=1,2")
    stored = json.loads(json.dumps(to_json(before)))
    check_same(to_json(before), stored)
    for words in (["a=interval(1,2)", "b=1,2"], ["a=tag(log,interval(1,2))", "b=1,2", "c=1,2"]):
        _, now = space(*words)
        with pytest.raises(ConfigError, match="a search has one space"):
            check_same(to_json(now), stored)
