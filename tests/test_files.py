from __future__ import annotations

import json
from pathlib import Path

import pytest

from avatarl.files import read_json, replace_atomically, write_atomic, write_json


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    write_json(tmp_path / "deep" / "a.json", {"x": [1, 2.5, "ü"]})
    assert read_json(tmp_path / "deep" / "a.json") == {"x": [1, 2.5, "ü"]}


def test_a_write_that_fails_half_way_leaves_the_old_file_and_no_debris(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write_atomic(path, "old")

    def fail(file) -> None:
        file.write(b"half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        replace_atomically(path, fail)
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]


def test_numbers_that_are_no_json_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a", {"x": float("nan")})
    assert not list(tmp_path.iterdir())


def test_others_may_read_what_the_umask_allows(tmp_path: Path) -> None:
    write_atomic(tmp_path / "a", json.dumps(1))
    (tmp_path / "plain").write_text("1")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "plain").stat().st_mode
