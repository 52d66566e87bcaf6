"""What a launch tells, wherever its runs are computed."""

from __future__ import annotations

import pytest

from avatarl.sweep.plan import snapshot
from avatarl.sweep.plan.rollback import Rollback
from avatarl.sweep.slurm import backend as slurm
from avatarl.sweep.workers.local import LocalBackend
from avatarl.terminal import console
from tests.sweep.shipped import shipped


@pytest.mark.parametrize("where", ["local", "slurm"])
def test_files_that_are_not_copied_are_named_when_a_sweep_starts(
    plan_of, tmp_path, monkeypatch, capsys, where
):
    plan, sweep = plan_of([{}]), tmp_path / "outputs/sweeps/test"
    monkeypatch.setattr(snapshot, "left_out", lambda root=None: ["notes.md", "id_ecdsa"])
    monkeypatch.setattr(snapshot, "freeze", lambda *_, **__: snapshot.source_root())
    monkeypatch.setattr(slurm, "_pending", lambda plan, sweep: [])
    backend = {"local": LocalBackend, "slurm": slurm.SlurmBackend}[where](shipped(where))
    backend.prepare(plan, sweep, Rollback(), console())
    told = capsys.readouterr().out
    assert "2 files aren't copied with the source: notes.md, id_ecdsa" in told
