from __future__ import annotations

import errno
import json
import logging
import os
import time
from pathlib import Path

import pytest

from avatarl import files
from avatarl.files import (
    create_exclusively,
    read_json,
    replace_atomically,
    sweep_temporaries,
    write_atomic,
    write_json,
)


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


@pytest.mark.parametrize("code", ["EINVAL", "ENOTSUP", "ENOSYS", "EPERM"])
@pytest.mark.parametrize("call", ["fsync", "chmod", "open"])
def test_what_a_file_system_cannot_do_is_done_without_and_said_once(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    code: str,
    call: str,
) -> None:
    files._say_once.cache_clear()
    real = os.open

    def refuse(*arguments: object, **options: object) -> int:
        if call == "open" and not Path(str(arguments[0])).is_dir():
            return real(*arguments, **options)  # type: ignore[arg-type]
        raise OSError(getattr(errno, code), f"{call}: {code}")

    monkeypatch.setattr(Path if call == "chmod" else os, call, refuse)
    with caplog.at_level(logging.INFO, "avatarl"):
        write_json(tmp_path / "a.json", 1)
        write_json(tmp_path / "b.json", 2)
    assert (read_json(tmp_path / "a.json"), read_json(tmp_path / "b.json")) == (1, 2)
    told = [record.message for record in caplog.records]
    assert len(told) == len(set(told)) > 0, told
    assert all("done without" in line for line in told)


@pytest.mark.parametrize("code", ["ENOSPC", "EIO", "EDQUOT", "ESTALE"])
def test_a_real_error_is_no_nicety(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(getattr(errno, code), code)

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match=code):
        write_json(tmp_path / "a.json", 1)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "code",
    ["EPERM", "EOPNOTSUPP", "ENOSYS", "EMLINK", "EINVAL", "ENOTSUP", "EXDEV", "EACCES", "ENOTTY"],
)
def test_a_file_is_made_once_also_without_hard_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(getattr(errno, code), code)

    monkeypatch.setattr(os, "link", refuse)
    assert create_exclusively(tmp_path / "a", "one")
    assert not create_exclusively(tmp_path / "a", "two")
    assert (tmp_path / "a").read_text() == "one"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_what_killed_writers_left_is_swept_and_what_is_being_written_is_not(
    tmp_path: Path,
) -> None:
    old, new = tmp_path / ".result.json.x1.part", tmp_path / ".result.json.x2.part"
    for path in (old, new, tmp_path / "kept.part"):
        path.touch()
    long_ago = time.time() - 7200
    os.utime(old, (long_ago, long_ago))
    os.utime(tmp_path / "kept.part", (long_ago, long_ago))
    sweep_temporaries(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [new.name, "kept.part"]


def test_an_object_carries_its_digest_and_one_without_is_read_as_before(tmp_path: Path) -> None:
    path, content = tmp_path / "x.json", {"runs": [{"lr": 0.001}], "name": "s", "n": 3}
    files.write_checked(path, content)
    assert files.read_checked(path) == content
    path.write_text(path.read_text().replace("0.001", "0.002"))
    with pytest.raises(ValueError, match=f"{path} isn't what was stored"):
        files.read_checked(path)
    files.write_json(path, content)
    assert files.read_checked(path) == content
