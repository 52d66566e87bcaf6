from __future__ import annotations

import dataclasses
import json
import os
import time

import pytest

from avatarl.runs import liveness
from avatarl.runs.folder import RunFolder
from avatarl.runs.liveness import Owner, SlurmJob
from tests.runs.owners import dead_owner, put


def test_owners_survive_json():
    owner = dead_owner(slurm=SlurmJob("1_2", 3, "c"))
    assert Owner.from_json(json.loads(json.dumps(dataclasses.asdict(owner)))) == owner


def test_a_process_number_used_again_is_not_the_owner(tmp_path):
    me = liveness.this_process()
    assert liveness.alive(me, RunFolder(tmp_path))
    assert not liveness.alive(
        dataclasses.replace(me, started=me.started - 100), RunFolder(tmp_path)
    )
    assert liveness.alive(dataclasses.replace(me, boot="another"), RunFolder(tmp_path)) is False


@pytest.mark.parametrize(
    ("answer", "alive"), [(True, True), (False, False), (None, True)], ids=["runs", "gone", "mute"]
)
def test_slurm_decides_about_owners_elsewhere(tmp_path, answer, alive):
    owner = dead_owner(host="elsewhere", slurm=SlurmJob("7_1", 0))
    asked = []

    def slurm(job):
        asked.append(job)
        return answer

    assert liveness.alive(owner, RunFolder(tmp_path), slurm) is alive
    assert asked == [SlurmJob("7_1", 0)]


def test_a_requeued_job_takes_over_from_itself_without_asking(tmp_path, monkeypatch):
    owner = dead_owner(host="elsewhere", slurm=SlurmJob("7_1", 0))
    monkeypatch.setenv("SLURM_JOB_ID", "9")
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "7")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "1")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    assert not liveness.alive(owner, RunFolder(tmp_path), lambda job: pytest.fail("asked"))


def test_an_owner_on_an_unreachable_host_is_believed_while_it_writes(tmp_path):
    owner = dead_owner(host="elsewhere")
    put(tmp_path, owner)
    progress = tmp_path / "progress.json"
    progress.write_text("{}")
    assert liveness.alive(owner, RunFolder(tmp_path))
    old = time.time() - liveness.SILENT_AFTER_S - 1
    os.utime(progress, (old, old))
    assert not liveness.alive(owner, RunFolder(tmp_path))


def test_an_owner_written_by_a_newer_version_is_understood(tmp_path):
    raw = dataclasses.asdict(dead_owner(slurm=SlurmJob("1_2", 3, "c", "4")))
    newer = {**raw, "colour": "red", "slurm": {**raw["slurm"], "partition": "gpu"}}
    assert dataclasses.asdict(Owner.from_json(newer)) == raw
