from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from avatarl.data import load, prepare, text
from avatarl.errors import ConfigError, DataError


def text_config(path: Path | str | None, train_fraction: float = 0.5) -> text.Config:
    return text.Config(
        name="text", kind="text", train_fraction=train_fraction, dev_fraction=0.05,
        dev_from="start", unseen="error",
        path=None if path is None else str(path),
    )  # fmt: skip


def test_text_is_taken_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "poem.txt"
    file.write_bytes("\ufeffça va\r\nça va\r\n".encode() * 3)
    corpus = load(text_config(file))
    assert corpus.text == "\ufeffça va\r\nça va\r\n" * 3
    assert corpus.name == "text"
    assert corpus.fallback_reason is None


def test_text_is_read_once_until_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "poem.txt"
    file.write_text("abab")
    first = load(text_config(file))
    assert load(text_config(file)) is first
    file.write_text("ababab")
    assert load(text_config(file)).text == "ababab"


def test_prepared_text_wins_over_a_file_that_changed(tmp_path: Path) -> None:
    file = tmp_path / "poem.txt"
    file.write_text("abababab")
    prepared = prepare(load(text_config(file)), tmp_path / "plan")
    file.unlink()
    corpus = load(text_config(file, train_fraction=0.75), prepared)
    assert corpus.text == "abababab"
    assert len(corpus.train) == 6


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "file is empty"),
        (b"abc\xff\xfedef", "not UTF-8: byte 0xff at offset 3"),
        (b"a\xc3", "not UTF-8: byte 0xc3 at offset 1"),
    ],
)
def test_unusable_file_is_one_clear_error(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "bad.txt"
    file.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        load(text_config(file))
    assert caught.value.key == "data.path"
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_file_and_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        load(text_config(tmp_path / "nowhere.txt"))
    with pytest.raises(DataError, match="is a directory"):
        load(text_config(tmp_path))


@pytest.mark.parametrize("path", [None, ""])
def test_text_needs_a_path(path: str | None) -> None:
    with pytest.raises(ConfigError) as caught:
        text_config(path)
    assert caught.value.key == "path"


def test_data_needs_no_torch() -> None:
    code = "import sys, avatarl.data, avatarl.data.tinyshakespeare, avatarl.data.text\n"
    code += "sys.exit('torch' in sys.modules)"
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
