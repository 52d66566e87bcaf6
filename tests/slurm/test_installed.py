"""SLURM jobs of a package that was installed from its wheel, far from any clone."""

from __future__ import annotations

import json

from tests.test_wheel import SHORT, run


def test_jobs_import_the_frozen_package_and_a_reward_of_ones_own(cluster, avatarl, tmp_path):
    run(avatarl, "new", "reward", "focal", cwd=tmp_path)
    slurm = ["hydra/launcher=slurm", "hydra.launcher.cpus_per_task=1", "hydra.launcher.poll_s=0.5"]
    words = ["-cd", "conf", "-m", *SHORT, "reward=focal", "seed=0,1", "sweep_name=s", *slurm]
    run(avatarl, "run", *words, "hydra.launcher.control=false", cwd=tmp_path)
    (code,) = (tmp_path / "outputs" / "code").iterdir()
    assert (code / "avatarl" / "conf" / "config.yaml").is_file()
    assert (code / "mylab" / "focal.py").is_file()
    owners = [json.loads(path.read_text()) for path in tmp_path.glob("outputs/runs/*/owner.json")]
    assert [(owner["code"], owner["outcome"]) for owner in owners] == [(str(code), "done")] * 2
    assert all(owner["slurm"] for owner in owners)
    assert "2 done" in run(avatarl, "status", "s", cwd=tmp_path)
    assert "focal" in run(avatarl, "compare", "s", cwd=tmp_path)
