"""Text from outside is harmless on a terminal, in a message and in a name."""

from __future__ import annotations

import pytest

from avatarl.errors import ConfigError
from avatarl.names import check_name, check_words, resolved_word
from avatarl.text import printable, shortened, spelled


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain – ±é漢", "plain – ±é漢"),
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("a\rb\nc\td\x00\x7f\x9b", r"a\rb\nc\td\x00\x7f\x9b"),
        ("\u202eright to left\u2028", r"\u202eright to left\u2028"),
        ("lone \ud800", r"lone \ud800"),
    ],
)
def test_control_characters_are_written_as_escapes(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert printable(text).isprintable()


def test_some_characters_may_stay() -> None:
    assert printable("a\nb\x1b", keep="\n") == "a\nb\\x1b"


def test_a_long_value_is_cut_and_measured() -> None:
    assert shortened("x" * 80) == "x" * 80
    assert shortened("x" * 10_000) == "x" * 80 + "… (10,000 characters)"
    assert len(spelled("x" * 10_000)) < 120
    assert len(spelled(10**5000)) < 120
    assert "name=" + "'" + "x" * 79 in str(ConfigError("name", "x" * 10_000, "short ones"))


def test_values_are_spelled_as_they_are_typed() -> None:
    assert [spelled(value) for value in (None, True, False, 1, "a", [1])] == [
        "null", "true", "false", "1", "'a'", "[1]",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "name",
    ["", "a/b", "../x", "/abs", ".hidden", "-flag", "a b", "a\nb", "a%jb", "é", "x" * 101, None, 1],
)
def test_what_cannot_name_a_folder_a_job_and_a_file_is_refused(name: object) -> None:
    with pytest.raises(ConfigError, match=r"^sweep_name=.*valid: 1 to 100 letters"):
        check_name("sweep_name", name)


@pytest.mark.parametrize("name", ["a", "exp-1.2_b+c", "0", "x" * 100])
def test_other_names_pass(name: str) -> None:
    assert check_name("name", name) == name


@pytest.mark.parametrize("text", ["", "  ", "a\nb", "a\x1bb", "é" * 33])
def test_words_are_one_line_within_their_bytes(text: str) -> None:
    with pytest.raises(ConfigError, match="valid: 1 to 64 bytes"):
        check_words("tracking.tags.0", text, 64)
    check_words("tracking.tags.0", "é" * 32, 64)


def test_a_label_shows_what_a_reference_came_to() -> None:
    values = {"optimizer.lr": 0.5}
    assert resolved_word("optimizer.lr=${objective.kl_coef}", values.get) == "optimizer.lr=0.5"
    assert resolved_word("optimizer.lr=0.1", values.get) == "optimizer.lr=0.1"
    assert resolved_word("a=${b}", values.get) == "a=${b}"
