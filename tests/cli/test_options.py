from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from avatarl import cli


def numbers() -> list[tuple[str, str]]:
    """Every option of every command that takes a number."""
    found = []
    for name in sorted({*cli.COMMANDS} - {"run"}):
        top = cli.parser(name)
        (commands,) = (one for one in top._actions if isinstance(one, argparse._SubParsersAction))
        for action in commands.choices[name]._actions:
            if action.type not in (None, Path):
                found.append((name, action.option_strings[-1]))
    return found


def test_commands_take_numbers() -> None:
    assert {("sample", "--temperature"), ("logs", "--lines"), ("watch", "--every")} <= {*numbers()}


@pytest.mark.parametrize(("command", "option"), numbers())
@pytest.mark.parametrize("word", ["-1", "nan", "inf", "one", "", "0x10"])
def test_what_is_no_number_of_an_option_is_refused_by_name(
    command: str, option: str, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([command, option, word]) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"avatarl: {option}={word!r} can't be used; valid: a ")
    assert told.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "valid"),
    [
        (["logs", "-n", "9" * 30], "--lines='999999999999999999999999999999' can't be used; valid: "
         "a whole number, from 0 to 1000000000"),
        (["compare", "--port", "65536"], "valid: a whole number, from 0 to 65535"),
        (["sample", "x", "--n", "1.5"], "valid: a whole number, at least 1"),
        (["watch", "--every", "0.1"], "valid: a number, from 0.2 to 86400"),
        (["reproduce", "x", "--threads", "0"], "valid: a whole number, at least 1"),
    ],
)  # fmt: skip
def test_the_bounds_are_told(
    words: list[str], valid: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(words) == 2
    assert valid in capsys.readouterr().err
