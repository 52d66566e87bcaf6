from __future__ import annotations

import dataclasses
import functools
import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from avatarl.files import write_json
from avatarl.runs import liveness, ownership
from avatarl.runs.folder import RunFolder
from avatarl.runs.journal import JournalWriter
from avatarl.runs.liveness import SlurmJob
from avatarl.runs.ownership import Owned
from avatarl.runs.progress import Progress
from avatarl.training.checkpoint import Checkpoint, read_latest, write_checkpoint
from tests.runs.owners import dead_owner, put
from tests.waiting import wait_until

# Claims `sys.argv[1]` when told to; a winner enters a region that would show a second owner, and
# releases when its standard input ends.
CLAIMER = """
import os, sys
from pathlib import Path
from avatarl.runs import ownership
from avatarl.runs.folder import RunFolder
directory = Path(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
try:
    claim = ownership.claim(RunFolder(directory))
except ownership.Owned:
    print("owned"); sys.exit()
inside = directory / "inside"
os.close(os.open(inside, os.O_CREAT | os.O_EXCL))
sys.stdin.readline()
inside.unlink()
claim.release("done")
print("won")
"""


def claim_at_once(directory, count):
    """Let ``count`` processes claim at the same moment; what each of them said."""
    command = [sys.executable, "-c", CLAIMER, str(directory)]
    pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    started = [subprocess.Popen(command, text=True, **pipes) for _ in range(count)]
    for one in started:
        assert one.stdout.readline() == "ready\n", one.stderr.read()
    for one in started:
        one.stdin.write("go\n")
        one.stdin.flush()
    wait_until(lambda: sum(one.poll() is None for one in started) <= 1, "one process left")
    found = []
    for one in started:
        out, errors = one.communicate()
        assert one.returncode == 0, errors
        found.append(out.strip())
    return sorted(found)


def test_of_fifty_claimers_at_once_exactly_one_wins(tmp_path):
    assert claim_at_once(tmp_path, 50) == ["owned"] * 49 + ["won"]
    assert ownership.current_owner(RunFolder(tmp_path)).outcome == "done"


def test_of_many_heirs_of_a_dead_owner_exactly_one_wins(tmp_path):
    put(tmp_path, dead_owner())
    assert claim_at_once(tmp_path, 12) == ["owned"] * 11 + ["won"]
    assert [owner.outcome for owner in ownership.history(RunFolder(tmp_path))] == [None, "done"]


def _claim_for_ever(directory, seed):
    """Claim and release again and again; the region inside tells of any second owner."""
    generator = random.Random(seed)
    while True:
        try:
            claim = ownership.claim(RunFolder(directory))
        except Owned:
            time.sleep(0.001)
            continue
        mark = directory / "inside"
        mark.write_text(str(os.getpid()))
        time.sleep(generator.random() * 0.004)
        if mark.read_text() != str(os.getpid()):
            (directory / "TWO").touch()
        with (directory / "log").open("a") as log:
            log.write(f"{os.getpid()}\n")
        claim.release("done")


def test_killing_owners_at_random_points_never_gives_two_nor_none(tmp_path):
    context = multiprocessing.get_context("spawn")
    generator = random.Random(0)

    def start():
        process = context.Process(
            target=_claim_for_ever, args=(tmp_path, generator.random()), daemon=True
        )
        process.start()
        return process

    processes = [start() for _ in range(4)]
    try:
        wait_until((tmp_path / "log").exists, "the first claim")
        for _ in range(12):
            time.sleep(generator.random() * 0.2)
            place = generator.randrange(len(processes))
            os.kill(processes[place].pid, signal.SIGKILL)
            processes[place].join()
            processes[place] = start()
        before = len((tmp_path / "log").read_text().splitlines())
        wait_until(
            lambda: len((tmp_path / "log").read_text().splitlines()) > before + 20, "more claims"
        )
    finally:
        for process in processes:
            process.kill()
            process.join()
    assert not (tmp_path / "TWO").exists()


def test_a_claim_is_exclusive_until_released(tmp_path):
    claim = ownership.claim(RunFolder(tmp_path))
    with pytest.raises(Owned, match=f"process {os.getpid()}"):
        ownership.claim(RunFolder(tmp_path))
    claim.release("interrupted", "because")
    again = ownership.claim(RunFolder(tmp_path))
    assert (claim.number, again.number) == (1, 2)
    shown = json.loads((tmp_path / "owner.json").read_text())
    assert shown["pid"] == os.getpid()
    assert shown["released"] is None


def test_without_hard_links_claims_stay_exclusive(tmp_path, monkeypatch):
    def no_links(*arguments):
        raise PermissionError(1, "no links here")

    monkeypatch.setattr(os, "link", no_links)
    claim = ownership.claim(RunFolder(tmp_path))
    with pytest.raises(Owned):
        ownership.claim(RunFolder(tmp_path))
    claim.release("done")
    assert ownership.claim(RunFolder(tmp_path)).number == 2


def test_a_full_disk_does_not_keep_a_run_owned(tmp_path, monkeypatch):
    claim = ownership.claim(RunFolder(tmp_path))

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ownership, "replace_quickly", full)
    claim.release("failed", "OSError")
    monkeypatch.undo()
    assert ownership.claim(RunFolder(tmp_path)).number == 1


def test_a_claimed_directory_is_not_world_writable(tmp_path):
    before = os.umask(0)
    try:
        ownership.claim(RunFolder(tmp_path / "run"))
    finally:
        os.umask(before)
    for path in (tmp_path / "run", tmp_path / "run" / ".owners"):
        assert not path.stat().st_mode & 0o002


def test_a_claim_that_cant_be_read_tells_of_no_owner(tmp_path):
    owner = dead_owner(slurm=SlurmJob("1_2", 3, "c"))
    put(tmp_path, owner)
    assert ownership.current_owner(RunFolder(tmp_path)) == owner
    (Path(tmp_path) / ".owners" / "2.json").write_text("{")
    assert ownership.history(RunFolder(tmp_path)) == [owner]


@pytest.fixture
def lost(tmp_path):
    """A claim that was taken over while its process, taken for dead, went on."""
    folder = RunFolder(tmp_path)
    dead = dataclasses.replace(liveness.this_process(), pid=2**22 + 1)
    claim = ownership.claim(folder, dead)
    claim.begin(4)
    return claim, ownership.claim(folder)


def test_who_has_lost_a_run_writes_nothing_more_of_it(lost, tmp_path):
    orphan, heir = lost
    heir.begin(4)
    heir.folder.write_progress(Progress(step=5, steps=9))
    journal = JournalWriter(heir.folder.journal, {"run_id": "x"}, None, heir.check)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    writes = [
        orphan.check,
        lambda: orphan.begin(5),
        lambda: orphan.folder.describe({}, {}),
        lambda: orphan.folder.write_progress(Progress(step=7, steps=9)),
        lambda: orphan.folder.write_failure("x", "x", "ValueError: no good"),
        lambda: orphan.folder.write_result({"val/nats": 1.0}),
        lambda: JournalWriter(orphan.folder.journal, {}, None, orphan.check),
        lambda: write_checkpoint(orphan.folder, Checkpoint(7, {}, {})),
        lambda: orphan.folder.prune(1),
    ]
    for write in writes:
        with pytest.raises(ownership.ClaimLost, match="taken over by another process"):
            write()
    orphan.release("done")
    changed = tmp_path / ".owners" / "1.json"
    after = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert {path for path in after if after[path] != before.get(path)} == {changed}
    assert ownership.history(heir.folder)[0].outcome == "lost"
    journal.write({"step": 6})
    heir.folder.write_result({"val/nats": 2.0})
    assert RunFolder(tmp_path).read_result() == {"val/nats": 2.0, "claim": 2}


def test_a_result_that_slipped_through_is_not_believed(lost, tmp_path):
    orphan, heir = lost
    write_json(heir.folder.result, {"val/nats": 1.0, "claim": orphan.number})
    assert RunFolder(tmp_path).read_result() is None
    heir.release("interrupted")
    assert RunFolder(tmp_path).read_result() is None


def test_a_result_stays_when_somebody_looks_at_the_run_again(tmp_path):
    first = ownership.claim(RunFolder(tmp_path))
    first.folder.write_result({"val/nats": 1.0})
    first.release("done")
    again = ownership.claim(RunFolder(tmp_path))
    assert RunFolder(tmp_path).read_result() == {"val/nats": 1.0, "claim": 1}
    again.release("done")
    assert RunFolder(tmp_path).read_result() == {"val/nats": 1.0, "claim": 1}


def test_who_dies_after_its_result_was_done(tmp_path):
    owner = dead_owner()
    put(tmp_path, owner)
    write_json(RunFolder(tmp_path).result, {"val/nats": 1.0, "claim": 1})
    ownership.release_dead(RunFolder(tmp_path), owner.pid, "failed", "killed by SIGKILL")
    (told,) = ownership.history(RunFolder(tmp_path))
    assert (told.outcome, told.reason) == ("done", None)


def test_what_the_dead_owner_of_a_done_run_left_open_is_closed_by_who_finds_it_done(tmp_path):
    folder = RunFolder(tmp_path)
    put(tmp_path, dead_owner())
    ownership.close_done(folder)
    assert [owner.outcome for owner in ownership.history(folder)] == ["done"]
    mine = ownership.claim(folder)  # looks, and lives
    ownership.close_done(folder)
    assert [owner.outcome for owner in ownership.history(folder)] == ["done", None]
    mine.release("done")


def test_checkpoints_of_an_orphan_are_passed_over(lost):
    _, heir = lost
    for step, number in ((4, 1), (7, 1), (5, 2)):
        owned = RunFolder(heir.folder.path, functools.partial(int, number))
        write_checkpoint(owned, Checkpoint(step, {}, {"by": number}))
    assert read_latest(heir.folder).step == 7  # the heir hasn't begun: it may go on from there
    heir.begin(4)
    assert read_latest(heir.folder).step == 5
    assert read_latest(heir.folder).numbers == {"by": 2}


def test_a_claim_is_handed_to_whoever_trains_the_run_in_this_process(tmp_path):
    claim = ownership.offer(ownership.claim(RunFolder(tmp_path)))
    assert ownership.offered(RunFolder(tmp_path / "other")) is None
    assert ownership.offered(RunFolder(tmp_path)) is claim
    assert ownership.offered(RunFolder(tmp_path)) is None


def test_of_two_claims_of_one_number_the_one_that_is_there_counts(tmp_path):
    """A file system may let two hosts make one file; the later content is what both then read."""
    mine = ownership.claim(RunFolder(tmp_path))
    assert mine.check() == 1
    theirs = dead_owner(host="elsewhere", slurm=SlurmJob("7_1", 0, "", "9"))
    put(tmp_path, theirs)
    writes = [
        mine.check,
        lambda: mine.begin(3),
        lambda: mine.folder.write_result({"val/nats": 1.0}),
        lambda: write_checkpoint(mine.folder, Checkpoint(7, {}, {})),
    ]
    for write in writes:
        with pytest.raises(ownership.ClaimLost):
            write()
    mine.release("done")
    assert ownership.current_owner(RunFolder(tmp_path)) == theirs


def test_a_claim_that_another_host_has_written_over_is_not_won(tmp_path, monkeypatch):
    theirs = dead_owner(host="elsewhere", slurm=SlurmJob("7_1", 0, "", "9"))

    def both(path, content):
        put(path.parent.parent, theirs)
        return True

    monkeypatch.setattr(ownership, "create_exclusively", both)
    with pytest.raises(Owned) as owned:
        ownership.claim(RunFolder(tmp_path), slurm=lambda job: True)
    assert owned.value.owner == theirs


def test_a_claim_goes_on_as_itself_once_it_has_begun(tmp_path):
    claim = ownership.claim(RunFolder(tmp_path))
    claim.begin(5)
    assert claim.check() == 1
    claim.release("done")
    assert ownership.current_owner(RunFolder(tmp_path)).outcome == "done"


def test_a_server_that_was_asked_twice_does_not_make_a_claim_somebody_elses(tmp_path, monkeypatch):
    link = os.link

    def answered_late(source, target):
        link(source, target)
        link(source, target)  # the first answer was lost

    monkeypatch.setattr(os, "link", answered_late)
    assert ownership.claim(RunFolder(tmp_path)).check() == 1
