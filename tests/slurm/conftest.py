from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE))

import cluster as two_nodes  # noqa: E402

from avatarl.sweep.plan.planned import Plan  # noqa: E402
from tests import tiny  # noqa: E402
from tests.test_wheel import avatarl, wheel  # noqa: E402
from tests.waiting import PATIENCE_S  # noqa: E402

TINY = [
    *tiny.TINY,
    "trainer.eval_every=50",
    "trainer.eval_positions=512",
    "trainer.sample_characters=20",
    "trainer.checkpoint_every_s=1",
    "trainer.threads=1",
    "tracking=files",
    "sweep_name=s",
]
__all__ = ["avatarl", "wheel"]

#: What differs between two computations of the same run.
_VOLATILE = (
    "claim",
    "seconds",
    "time/",
    "started",
    "finished",
    "device",
    "git_",
    "code_sha256",
    "host",
)


def pytest_collection_modifyitems(items):
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.slurm)


@pytest.fixture(scope="session")
def cluster():
    if not two_nodes.running():
        pytest.skip("needs the two-node test cluster; start it with: make slurm-up")
    os.environ["SLURM_CONF"] = str(two_nodes.directory() / "slurm.conf")
    two_nodes.wait_until_idle()
    return two_nodes


@dataclass
class Sweep:
    """One sweep in a directory of its own, driven as a user would: through the command line."""

    directory: Path
    steps: int = 120
    seeds: int = 3
    faults: dict[int, str] = field(default_factory=dict)
    clients: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def sweep(self):
        return self.directory / "sweeps" / "s"

    def command(self, *more, launcher="slurm"):
        slurm = [
            "hydra.launcher.cpus_per_task=1",
            "hydra.launcher.gres=gpu:1",
            "hydra.launcher.poll_s=0.5",
            "hydra.launcher.runs_per_job=2",
            f"hydra.launcher.setup=['export PYTHONPATH={HERE}']",
            "hydra.launcher.execute=slurm_executor:run",
        ]
        return [
            sys.executable,
            str(ROOT / "run.py"),
            "-m",
            *TINY,
            f"trainer.steps={self.steps}",
            "seed=" + ",".join(map(str, range(self.seeds))),
            f"output_dir={self.directory}",
            f"hydra/launcher={launcher}",
            "hydra.launcher.control=false",
            *(slurm if launcher == "slurm" else []),
            *more,
        ]

    def start(self, *more, environment=None, **options):
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "AVATARL_TEST_FAULTS": json.dumps(self.faults),
            **(environment or {}),
        }
        self.directory.mkdir(exist_ok=True)
        client = subprocess.Popen(
            self.command(*more, **options),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=ROOT,
            env=environment,
        )
        self.clients.append(client)
        return client

    def finish(self, client, patience_s=PATIENCE_S):
        """Wait for a client; its exit code and what it printed."""
        out, _ = client.communicate(timeout=patience_s)
        return client.returncode, out

    def runs(self):
        return {run.config["seed"]: run for run in Plan.read(self.sweep).runs}

    def jobs(self):
        """Job ids of all submissions, in order of packs."""
        found = sorted(self.sweep.glob("slurm/*/submission.json"), key=lambda p: int(p.parts[-2]))
        return [job for path in found for job in json.loads(path.read_text())["jobs"]]

    def wait_for(self, condition, patience_s=PATIENCE_S, what="condition"):
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            value = condition()
            if value:
                return value
            time.sleep(0.1)
        raise AssertionError(f"{what}: not within {patience_s} s; {self.tail()}")

    def wait_for_step(self, seed, step=20):
        """Wait until a run has got so far; returns its progress."""

        def reached():
            try:
                progress = json.loads((self.runs()[seed].path / "progress.json").read_text())
            except (OSError, ValueError, KeyError):
                return None
            going = progress["state"] == "running" and progress["step"] >= step
            return progress if going else None

        return self.wait_for(reached, what=f"seed {seed} at step {step}")

    def tail(self):
        logs = sorted(self.sweep.glob("slurm/*/submitit/*.*"))
        return "\n".join(
            f"{p.name}: {p.read_text()[-600:]}" for p in logs if p.suffix in (".out", ".err")
        )

    def starts(self, seed):
        """How often a run was started."""
        lines = (self.directory / "marks" / "started").read_text().splitlines()
        return sum(line.split()[1] == str(seed) for line in lines)

    def metrics(self):
        """Everything computed, by seed: result and journal, without times and places."""
        return {seed: metrics_of(run.path) for seed, run in self.runs().items()}


def metrics_of(directory):
    def stable(record):
        return {key: value for key, value in record.items() if not key.startswith(_VOLATILE)}

    result = json.loads((directory / "result.json").read_text())
    lines = (directory / "metrics.jsonl").read_text().splitlines()
    return stable(result), [stable(json.loads(line)) for line in lines]


def slurm(*command, check=True):
    return subprocess.run(command, capture_output=True, text=True, check=check).stdout


def job_of(sweep, seed):
    [path] = sweep.sweep.glob("slurm/1/submission.json")
    raw = json.loads(path.read_text())
    identity = sweep.runs()[seed].id
    return next(j for j, runs in zip(raw["jobs"], raw["packs"], strict=True) if identity in runs)


def restarts(job):
    shown = slurm("scontrol", "show", "job", job)
    return int(shown.split("Restarts=")[1].split()[0])


@pytest.fixture
def sweep(cluster, tmp_path):
    made = Sweep(tmp_path / "outputs")
    yield made
    for client in made.clients:
        if client.poll() is None:
            client.kill()
        client.communicate()
    if made.sweep.exists() and (jobs := made.jobs()):
        subprocess.run(["scancel", *{job.split("_")[0] for job in jobs}], check=False)
        made.wait_for(lambda: not slurm("squeue", "-h"), what="empty queue")


@pytest.fixture(scope="session")
def undisturbed(cluster, tmp_path_factory):
    """Metrics of the same runs, computed by the local launcher without any fault."""
    calm = Sweep(tmp_path_factory.mktemp("calm") / "outputs", seeds=10)
    code, out = calm.finish(calm.start("hydra.launcher.workers=2", launcher="local"))
    assert code == 0, out
    return calm.metrics()


@pytest.fixture
def check(sweep, undisturbed):
    """Assert that all runs but ``failed`` ended exactly once, as in an undisturbed sweep."""

    def same(failed=()):
        runs = sweep.runs()
        for seed, run in runs.items():
            if seed in failed:
                assert not (run.path / "result.json").exists()
                error = json.loads((run.path / "failure.json").read_text())["error"]
                assert failed[seed] in error, error
                continue
            assert (run.path / "result.json").exists(), sweep.tail()
            assert metrics_of(run.path) == undisturbed[seed]
        assert len(list((sweep.directory / "runs").iterdir())) == len(runs)

    return same
