"""Faults of storage that pass are waited out, and nothing is made anew or decided meanwhile."""

from __future__ import annotations

import errno
import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from avatarl import files, storage
from avatarl.runs import ownership
from avatarl.runs.folder import RunFolder
from avatarl.runs.journal import JournalWriter
from avatarl.runs.progress import Progress
from avatarl.runs.state import RunState, status_of
from avatarl.storage import Later, Patience, patient, persist

PASSING = [
    errno.EACCES, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ESTALE, errno.EIO, errno.ENOTCONN,
]  # fmt: skip


class Faults:
    """An action that is refused so many times."""

    def __init__(self, number: int, times: int) -> None:
        self.number, self.times, self.calls = number, times, 0

    def __call__(self) -> str:
        self.calls += 1
        if self.calls <= self.times:
            raise OSError(self.number, os.strerror(self.number))
        return "done"


@pytest.mark.parametrize("number", PASSING)
def test_work_under_way_tries_again_and_says_so_once(
    tmp_path: Path, number: int, caplog: pytest.LogCaptureFixture
) -> None:
    action = Faults(number, 2)
    with patient(60, tmp_path):
        assert persist(action) == "done"
    assert action.calls == 3
    told = [record.message for record in caplog.records]
    assert len(told) == 2
    assert "waiting up to 60 s" in told[0]
    assert "storage is back" in told[1]


def test_what_is_about_to_begin_is_refused_at_once() -> None:
    action = Faults(errno.EROFS, 1)
    with pytest.raises(OSError, match="Read-only"):
        persist(action)
    assert action.calls == 1


def test_what_does_not_pass_is_not_waited_for(tmp_path: Path) -> None:
    action = Faults(errno.EISDIR, 1)
    with patient(60, tmp_path), pytest.raises(IsADirectoryError):
        persist(action)


def test_pauses_grow_and_end_with_the_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    patience, pauses = Patience(100.0, lambda line: None), []
    while (pause := patience.pause(OSError(errno.EIO, "no"))) is not None:
        pauses.append(pause)
        clock[0] += pause
    assert pauses == [0.25, 0.5, 1, 2, 4, 8, 16, 30, 30, 8.25]
    patience.over()
    assert patience.pause(OSError(errno.EIO, "no")) == 0.25


def test_what_must_not_wait_is_done_later() -> None:
    told: list[str] = []
    later, action = Later(Patience(60, told.append)), Faults(errno.EIO, 2)
    later.do(action)
    assert action.calls == 1
    later.finish()
    assert action.calls == 3
    given_up = Faults(errno.EIO, 2)
    Later(Patience(0)).do(given_up)
    assert given_up.calls == 1


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path / "outputs" / "runs" / "t-0")
    folder.path.mkdir(parents=True)
    return folder


def while_gone(folder: Path, act: Callable[[], object], returns: bool = True) -> None:
    """Act while a folder is away for a while."""
    away = folder.with_name("away")
    folder.rename(away)

    def bring_back() -> None:
        time.sleep(0.6)
        assert not folder.exists()  # nobody has made it anew
        away.rename(folder)

    thread = threading.Thread(target=bring_back)
    if returns:
        thread.start()
    try:
        act()
    finally:
        if returns:
            thread.join()


@pytest.mark.parametrize("which", ["output_dir", "run"])
def test_an_owner_waits_for_a_folder_that_vanished_and_never_makes_it_anew(
    run: RunFolder, tmp_path: Path, which: str
) -> None:
    claim = ownership.claim(run)
    root = tmp_path / "outputs"
    vanishing = root if which == "output_dir" else run.path
    with patient(60, root):
        while_gone(vanishing, lambda: claim.folder.write_progress(Progress(step=3)))
        while_gone(vanishing, lambda: claim.folder.write_result({"val/nats": 1.0}))
        while_gone(vanishing, lambda: claim.begin(3))
        while_gone(vanishing, lambda: claim.release("done"))
    progress = run.read_progress()
    assert progress is not None
    assert progress.step == 3
    assert run.read_result() is not None
    (owner,) = ownership.history(run)
    assert (owner.outcome, owner.resumed_from) == ("done", 3)


def test_beyond_its_patience_an_owner_fails_and_leaves_nothing(run: RunFolder) -> None:
    claim = ownership.claim(run)

    def write() -> None:
        with patient(0.5, run.path.parent.parent), pytest.raises(OSError, match="is gone"):
            claim.folder.write_progress(Progress(step=3))

    while_gone(run.path, write, returns=False)
    assert not run.path.exists()


class Filling:
    """A file on a disk that fills up: it takes a part of a write, then nothing."""

    def __init__(self, file: Any, room: int) -> None:
        self.file, self.room = file, room

    def write(self, data: bytes) -> int:
        if self.room == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        taken, self.room = self.file.write(data[: self.room]), 0
        return int(taken)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


@pytest.mark.parametrize("room", [0, 1, 7])
def test_a_journal_holds_each_record_whole_and_once_after_a_full_disk(
    tmp_path: Path, room: int
) -> None:
    journal = JournalWriter(tmp_path / "m", {}, None)
    journal.write({"step": 1})
    setattr(journal, "_file", Filling(journal._file, room))  # noqa: B010
    with patient(60, tmp_path):
        journal.write({"step": 2})
    journal.write({"step": 3})
    journal.close()
    lines = (tmp_path / "m").read_text().splitlines()
    assert [json.loads(line) for line in lines[1:]] == [{"step": 1}, {"step": 2}, {"step": 3}]


@pytest.mark.parametrize("number", PASSING)
def test_a_run_whose_files_cannot_be_seen_is_not_taken_for_new(
    run: RunFolder, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.write_json(run.result, {"val/nats": 1.0})
    read = Path.read_bytes

    def refused(path: Path) -> bytes:
        if path == run.result:
            raise OSError(number, os.strerror(number), str(path))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", refused)
    problems: list[str] = []
    status = status_of(run, problems=problems)
    assert status.state is RunState.UNREADABLE
    assert os.strerror(number) in status.reason
    assert len(problems) == 1


def test_a_claim_that_cannot_be_read_is_not_taken_over(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    ownership.claim(run).release("failed")
    monkeypatch.setattr(Path, "read_bytes", lambda *a, **k: Faults(errno.EIO, 9)())
    monkeypatch.setattr(ownership, "_HALF_WRITTEN_AFTER_S", 0.0)
    with pytest.raises(OSError, match="Input/output"):
        ownership.claim(run)


def test_require_tells_gone_from_never_there(tmp_path: Path) -> None:
    storage.require(tmp_path)
    with pytest.raises(OSError, match="is gone") as caught:
        storage.require(tmp_path / "x" / "y")
    assert storage.passes(caught.value)
