"""The plugin, driven through Hydra as ``python run.py -m`` does."""

from __future__ import annotations

import inspect
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from avatarl.sweep.plan.planned import Plan
from tests import tiny
from tests.waiting import PATIENCE_S, wait_until

ROOT = Path(__file__).parents[2]
TINY = [
    *tiny.TEXT_AND_MODEL,
    "trainer.steps=6",
    "trainer.batch_size=8",
    "trainer.eval_positions=256",
    "trainer.sample_characters=5",
    "tracking=files",
]


def sweep(output_dir, *words, environment=(), **options):
    command = [sys.executable, str(ROOT / "run.py"), "-m", *words, f"output_dir={output_dir}"]
    paths = os.pathsep.join([str(ROOT), str(Path(__file__).parent)])
    common = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": paths}
    environment = common | dict(environment)
    return subprocess.run(
        command, capture_output=True, text=True, env=environment, timeout=PATIENCE_S, **options
    )


def test_a_sweep_runs_plans_first_compares_last_and_recomputes_nothing(tmp_path):
    outputs = tmp_path / "outputs"
    words = [*TINY, "reference=unigram,bigram", "sweep_name=s", "hydra.launcher.workers=2"]
    first = sweep(outputs, *words, umask=0)
    assert first.returncode == 0, first.stderr
    open_to_all = [p for p in outputs.rglob("*") if p.lstat().st_mode & stat.S_IWOTH]
    assert [path for path in open_to_all if not path.is_symlink()] == []
    plan = Plan.read(outputs / "sweeps" / "s")
    assert [run.is_control for run in plan.runs] == [False, False, True]
    assert plan.keys == ("reference.name",)
    assert plan.corpus["name"] == "folio"
    assert (outputs / "sweeps" / "s" / "comparison.txt").exists()
    stamps = {run.id: (run.path / "result.json").stat().st_mtime_ns for run in plan.runs}
    again = sweep(outputs, *words)
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("already done") == 3
    assert stamps == {run.id: (run.path / "result.json").stat().st_mtime_ns for run in plan.runs}
    # Warm workers, one run after another, compute what a cold process does, bit for bit.
    cold = tmp_path / "cold"
    one = plan.runs[1]
    command = [sys.executable, str(ROOT / "run.py"), *TINY, *one.overrides, f"output_dir={cold}"]
    command = [word for word in command if not word.startswith(("sweep_name", "hydra"))]
    command.append(f"output_dir={cold}")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(command, check=True, capture_output=True, env=environment, cwd=ROOT)
    from avatarl.sweep.reproduce import compare

    assert compare(one.path, cold / one.directory) == []
    # And so does a process started from the run's bundle.
    command = [
        sys.executable,
        "-m",
        "avatarl",
        "reproduce",
        one.id,
        "--output-dir",
        str(outputs),
    ]
    told = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert told.returncode == 0, told.stdout + told.stderr
    assert "matches in every metric" in told.stdout.replace("\n", " ")


def test_hydras_own_launcher_still_works(tmp_path):
    outputs = tmp_path / "outputs"
    done = sweep(outputs, *TINY, "seed=0,1", "hydra/launcher=basic", "hydra/sweeper=basic")
    assert done.returncode == 0, done.stderr
    assert len(list(outputs.glob("runs/*/result.json"))) == 2


def test_one_bad_combination_is_named_and_nothing_is_written(tmp_path):
    outputs = tmp_path / "outputs"
    words = [*TINY, "seed=0,1,-1", "sweep_name=s"]
    refused = sweep(outputs, *words)
    assert refused.returncode == 2
    assert "seed=-1" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not outputs.exists()


@pytest.mark.parametrize(
    ("device", "gpus", "told"),
    [
        ("cuda:99", "", "trainer.device='cuda:99' can't be used ("),
        ("xpu:99", "0,1", "trainer.device='xpu:99' can't be used ("),
        ("cuda:1", "0,1", "trainer.device='cuda:1' can't be used; valid: cuda, as each worker"),
    ],
)
def test_a_device_that_workers_will_not_have_is_refused_before_anything_is_written(
    tmp_path, device, gpus, told
):
    outputs = tmp_path / "outputs"
    words = [*TINY, "seed=0,1", f"trainer.device={device}"]
    done = sweep(outputs, *words, environment={"CUDA_VISIBLE_DEVICES": gpus})
    assert done.returncode == 2
    assert f"avatarl: {told}" in done.stderr
    assert not outputs.exists()


def test_a_batch_that_the_text_cannot_fill_is_refused_by_the_plan(tmp_path):
    outputs = tmp_path / "outputs"
    refused = sweep(outputs, *TINY, "seed=0,1", "sweep_name=s", "trainer.batch_size=8,99999999")
    assert refused.returncode == 2
    told = refused.stderr.splitlines()
    assert "2 of 4 combinations" in told[0]
    # Named by what tells it from the others, not by all that was typed.
    assert told[1].startswith("  trainer.batch_size=99999999 seed=0: trainer.batch_size=99999999")
    assert not outputs.exists()


def test_an_order_beyond_the_text_is_refused_by_the_plan(tmp_path):
    outputs = tmp_path / "outputs"
    refused = sweep(outputs, *TINY, "reference=ngram4", "reference.order=3,99999", "sweep_name=s")
    assert refused.returncode == 2
    assert refused.stderr == (
        "avatarl: reference.order=99999: reference.order=99999 can't be used "
        "(the length of the text); valid: 1 to 18,000\n"
    )
    assert not outputs.exists()


@pytest.mark.parametrize(
    ("slip", "meant"),
    [("wokers=2", "workers"), ("failure_policy=keepgoing", "keep_going")],
)
def test_a_slip_in_a_launcher_setting_is_told_with_what_is_valid(tmp_path, slip, meant):
    refused = sweep(tmp_path / "outputs", *TINY, f"hydra.launcher.{slip}")
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
    assert f"did you mean '{meant}'?" in refused.stderr
    assert not (tmp_path / "outputs").exists()


def test_a_dry_run_shows_the_plan_and_writes_nothing(tmp_path):
    outputs = tmp_path / "outputs"
    shown = sweep(outputs, *TINY, "seed=0,1", "sweep_name=s", "hydra.launcher.dry_run=true")
    assert shown.returncode == 0, shown.stderr
    assert "4 new" in shown.stdout
    assert "No estimate" in shown.stdout
    assert not outputs.exists()


@pytest.fixture
def tools(tmp_path):
    """A directory to be the whole PATH: git, and nothing of SLURM."""
    found = tmp_path / "tools"
    found.mkdir()
    (found / "git").symlink_to(shutil.which("git"))
    return found


def files(directory):
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_a_submission_that_slurm_refuses_leaves_nothing_behind(tmp_path, tools):
    outputs = tmp_path / "outputs"
    for name in ("sbatch", "srun"):
        (tools / name).write_text(
            "#!/bin/sh\necho 'sbatch: error: no such partition' >&2; exit 1\n"
        )
        (tools / name).chmod(0o755)
    refusing = {"PATH": str(tools)}
    words = [*TINY, "sweep_name=s", "hydra.launcher.control=false"]
    refused = sweep(outputs, *words, "seed=0,1", "hydra/launcher=slurm", environment=refusing)
    assert refused.returncode == 2
    assert refused.stderr == "avatarl: SLURM refused the jobs: no such partition\n"
    assert not outputs.exists()
    # Of a sweep that was there before, everything is as it was; Hydra's own note aside.
    assert sweep(outputs, *words, "seed=0", "hydra.launcher.compare=false").returncode == 0
    before = files(outputs)
    refused = sweep(outputs, *words, "seed=0,1", "hydra/launcher=slurm", environment=refusing)
    assert refused.returncode == 2
    after = files(outputs)
    note = outputs / "sweeps" / "s" / "multirun.yaml"
    assert {**after, note: b""} == {**before, note: b""}


def test_without_slurm_the_script_is_shown_and_nothing_else_is_done(tmp_path, tools):
    outputs = tmp_path / "outputs"
    words = [*TINY, "seed=0,1", "sweep_name=s", "hydra/launcher=slurm", "hydra.launcher.gres=gpu:3"]
    nowhere = {"PATH": str(tools)}
    shown = sweep(outputs, *words, "hydra.launcher.dry_run=true", environment=nowhere)
    assert shown.returncode == 0, shown.stderr
    assert "No sbatch on this machine" in shown.stdout
    assert "\n#SBATCH --gres=gpu:3\n" in shown.stdout
    assert f"\ncd '{outputs}/code/" in shown.stdout
    refused = sweep(outputs, *words, environment=nowhere)
    assert refused.returncode == 2
    assert refused.stdout == ""
    [line] = refused.stderr.splitlines()
    assert "hydra/launcher='slurm' can't be used (no sbatch on this machine)" in line
    assert not outputs.exists()


def test_a_failing_run_is_named_at_once_and_the_exit_code_tells(tmp_path):
    outputs = tmp_path / "outputs"
    words = [*TINY, "seed=0,1,2", "sweep_name=s", "hydra.launcher.control=false"]
    (tmp_path / "sometimes.py").write_text(
        "from avatarl.training import execute_raw\n"
        "def run(raw, **more):\n"
        "    if raw['seed'] == 1: raise ValueError('no luck')\n"
        "    return execute_raw(raw, **more)\n"
    )
    words += [
        "hydra/sweeper=basic",  # Hydra's own; the other tests use ours
        "hydra.launcher.execute=sometimes:run",
        "hydra.launcher.workers=1",
    ]
    command = [sys.executable, str(ROOT / "run.py"), "-m", *words, f"output_dir={outputs}"]
    paths = os.pathsep.join([str(ROOT), str(tmp_path)])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": paths}
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, timeout=PATIENCE_S
    )
    assert done.returncode == 1
    lines = [line for line in done.stdout.splitlines() if line.startswith("[")]
    assert [line.split()[1] for line in lines] == ["done", "FAILED", "done"]
    assert "seed=1: ValueError: no luck" in lines[1]


def begun(outputs):
    """The runs that have taken a step."""
    told = [json.loads(path.read_text()) for path in outputs.glob("runs/*/progress.json")]
    return [progress for progress in told if progress["step"] > 0]


def test_ctrl_c_checkpoints_and_the_same_command_continues(tmp_path):
    outputs = tmp_path / "outputs"
    words = [
        *TINY,
        "trainer.steps=3000",
        "seed=0,1",
        "sweep_name=s",
        "hydra.launcher.control=false",
    ]
    command = [sys.executable, str(ROOT / "run.py"), "-m", *words, f"output_dir={outputs}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as client:
        # Both: a run that is stopped before its first step has its checkpoint at step 0.
        wait_until(lambda: len(begun(outputs)) == 2, "both runs' first steps")
        client.send_signal(signal.SIGINT)
        out, _ = client.communicate(timeout=PATIENCE_S)
    assert client.returncode == 130, out
    assert "To continue, start again: python" in out
    assert list(outputs.glob("runs/*/checkpoint-*.safetensors"))
    assert not list(outputs.glob("runs/*/result.json"))
    steps = [
        json.loads(path.read_text())["step"] for path in outputs.glob("runs/*/checkpoint-*.json")
    ]
    assert all(0 < step < 3000 for step in steps)


def test_hydras_grid_sweeper_takes_and_checks_batches_by_the_methods_that_ours_replaces(
    monkeypatch,
):
    """``hydra._internal.core_plugins.basic_sweeper`` is private: a new Hydra may move it."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
    from hydra.plugins.sweeper import Sweeper

    from avatarl.composition.steering import GRID_SWEEPERS
    from hydra_plugins.avatarl_launcher.sweeper import CheckedOnceSweeper

    assert BasicSweeper.validate_batch_is_legal is Sweeper.validate_batch_is_legal
    for call in ("self.validate_batch_is_legal(batch)", "batch = self.get_job_batch()"):
        assert call in inspect.getsource(BasicSweeper.sweep)
    classes = (BasicSweeper, CheckedOnceSweeper)
    assert tuple(f"{one.__module__}.{one.__name__}" for one in classes) == GRID_SWEEPERS


def test_a_sweeper_is_one_module_and_one_yaml(tmp_path):
    """It proposes a second batch from what the first one reached; together they are one sweep."""
    plugins, presets = tmp_path / "hydra_plugins" / "own", tmp_path / "hydra" / "sweeper"
    plugins.mkdir(parents=True)
    presets.mkdir(parents=True)
    (plugins / "__init__.py").write_text("")
    (plugins / "climb.py").write_text(
        "from hydra.core.plugins import Plugins\n"
        "from hydra.plugins.sweeper import Sweeper\n"
        "class Climb(Sweeper):\n"
        "    def setup(self, *, hydra_context, task_function, config):\n"
        "        self.launcher = Plugins.instance().instantiate_launcher(\n"
        "            hydra_context=hydra_context, task_function=task_function, config=config)\n"
        "    def sweep(self, arguments):\n"
        "        first = [[*arguments, f'optimizer.lr={lr}'] for lr in (0.001, 0.01)]\n"
        "        found = self.launcher.launch(first, initial_job_idx=0)\n"
        "        best = min(found, key=lambda job: job.return_value)\n"
        "        self.launcher.launch([[*best.overrides, 'seed=1']], initial_job_idx=2)\n"
    )
    (presets / "climb.yaml").write_text("_target_: hydra_plugins.own.climb.Climb\n")
    outputs = tmp_path / "outputs"
    words = [*TINY, "reference=bigram", "sweep_name=s", "hydra.launcher.control=false"]
    words = ["-cd", str(tmp_path), *words, "hydra/sweeper=climb"]
    paths = os.pathsep.join([str(ROOT), str(tmp_path)])
    done = sweep(outputs, *words, environment={"PYTHONPATH": paths})
    assert done.returncode == 0, done.stdout + done.stderr
    first, second, third = Plan.read(outputs / "sweeps" / "s").runs
    reached = {
        run.config["optimizer"]["lr"]: json.loads((run.path / "result.json").read_text())[
            "dev/nats"
        ]
        for run in (first, second)
    }
    assert third.config["optimizer"]["lr"] == min(reached, key=reached.get)
    assert (third.path / "result.json").exists()
