"""Every fault a sweep must survive, on a real SLURM: each run ends once, as if undisturbed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
from conftest import ROOT, TINY, Sweep, job_of, restarts, slurm

from avatarl import composition
from avatarl.runs import ownership
from avatarl.training import execute, monitors


def preempt(node):
    """Ask for a node in the partition that preempts; returns once it has had it."""
    slurm(
        "sbatch", "-W", "-p", "urgent", "-w", node, "--gres=gpu:1", "-o/dev/null", "--wrap=sleep 2"
    )


def test_all_is_well(sweep, check):
    _, shown = sweep.finish(sweep.start("hydra.launcher.dry_run=true"))
    assert "3 new" in shown
    assert not sweep.sweep.exists()
    secret = "hush" * 5  # not as a word of this file, which is frozen with the rest
    code, out = sweep.finish(sweep.start(environment={"WANDB_API_KEY": secret}))
    assert code == 0, out
    check()
    assert out.count(" done ") == 3
    # The script shown is the script submitted, byte for byte.
    [script] = sweep.sweep.glob("slurm/1/submitit/*_submission.sh")
    assert script.read_text() in shown
    # No secret anywhere, and what holds pickles is closed to others.
    for path in sweep.directory.rglob("*"):
        assert not path.is_file() or secret.encode() not in path.read_bytes(), path
    for path in (sweep.sweep / "slurm" / "1", sweep.sweep / "slurm" / "1" / "submitit"):
        assert path.stat().st_mode & 0o777 == 0o700
    again, out = sweep.finish(sweep.start())
    assert again == 0
    assert "all 3 runs are done" in out
    assert [sweep.starts(seed) for seed in range(3)] == [1, 1, 1]


def test_detached_it_is_looked_at_and_cancelled_from_any_shell(sweep, check):
    code, out = sweep.finish(sweep.start("hydra.launcher.wait=false"))
    assert code == 0, out
    assert f"avatarl watch {sweep.sweep}" in out
    sweep.wait_for_step(0)

    def avatarl(*words):
        command = [sys.executable, "-m", "avatarl", *words, "--output-dir", sweep.directory]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)

    rows = [json.loads(line) for line in avatarl("status", "s", "--json").stdout.splitlines()]
    assert {row["state"] for row in rows} <= {"running", "queued", "done"}
    running = next(row for row in rows if row["label"] == "seed=0")
    assert running["state"] == "running"
    assert running["node"] in ("node1", "node2")
    assert running["progress"]["step"] > 0
    assert "2 jobs" in avatarl("cancel", "s").stdout
    sweep.wait_for(lambda: not slurm("squeue", "-h"), what="empty queue")
    states = avatarl("status", "s").stdout
    assert "running" not in states.splitlines()[0]
    retried = avatarl("retry", "s")
    assert retried.returncode == 0, retried.stdout + retried.stderr
    check()
    assert "started" in avatarl("logs", "s", "--jobs").stdout


def test_several_runs_side_by_side_on_one_gpu(sweep, check):
    sweep.seeds = 4
    more = ("hydra.launcher.slots_per_gpu=2", "hydra.launcher.runs_per_job=4")
    code, out = sweep.finish(sweep.start(*more))
    assert code == 0, out
    check()
    lines = (sweep.directory / "marks" / "started").read_text().splitlines()
    assert len({line.split()[2] for line in lines}) == 2  # two warm workers for four runs


def test_each_slot_is_bound_to_one_of_the_jobs_gpus(sweep, check):
    sweep.seeds = 4
    more = ("hydra.launcher.gres=gpu:2", "hydra.launcher.slots_per_gpu=2")
    code, out = sweep.finish(sweep.start(*more, "hydra.launcher.runs_per_job=4"))
    assert code == 0, out
    check()
    [log] = sweep.sweep.glob("slurm/1/submitit/*_log.out")
    assert "4 slots, GPUs ['0', '1']" in log.read_text()
    # What CUDA_VISIBLE_DEVICES was in each worker, in its own words.
    given = {
        owner.pid: owner.gpu
        for run in sweep.runs().values()
        for owner in ownership.history(run.folder)
    }
    assert sorted(given.values()) == ["0", "0", "1", "1"]


@pytest.mark.parametrize("user_signal", [False, True])
def test_preemption(sweep, check, cluster, user_signal):
    cluster.reconfigure(user_signal)
    try:
        client = sweep.start()
        sweep.wait_for_step(0)
        job = job_of(sweep, 0)
        preempt(slurm("squeue", "-h", "-r", "-j", job, "-o", "%N").strip())
        code, out = sweep.finish(client)
        assert code == 0, out
        assert restarts(job) == 1
        assert sweep.starts(0) == 2
        check()
    finally:
        cluster.reconfigure(False)


def test_requeue_again_and_again(sweep, check):
    client = sweep.start(environment={"AVATARL_TEST_PAUSE_S": "0.1"})
    for step in (10, 40, 70):
        sweep.wait_for_step(0, step)
        slurm("scontrol", "requeue", job_of(sweep, 0))
    code, out = sweep.finish(client)
    assert code == 0, out
    assert restarts(job_of(sweep, 0)) == 3
    check()


def test_warning_signal_requeues(sweep, check):
    client = sweep.start()
    sweep.wait_for_step(0)
    slurm("scancel", "--signal=USR2", job_of(sweep, 0))
    code, out = sweep.finish(client)
    assert code == 0, out
    assert restarts(job_of(sweep, 0)) == 1
    check()


def test_walltime(sweep, check):
    # A minute is the shortest walltime; the pack needs more than that.
    sweep.seeds = 1
    more = (
        "hydra.launcher.timeout_min=1",
        "hydra.launcher.signal_delay_s=25",
        "hydra.launcher.max_num_timeout=null",
    )
    client = sweep.start(*more, environment={"AVATARL_TEST_PAUSE_S": "0.4"})
    code, out = sweep.finish(client)
    assert code == 0, out
    assert restarts(job_of(sweep, 0)) >= 1
    assert sweep.starts(0) == restarts(job_of(sweep, 0)) + 1
    check()


def test_a_job_that_never_comes_to_work_is_named_with_its_last_words(sweep):
    sweep.seeds = 1
    broken = ("hydra.launcher.python=/no/python", "hydra.launcher.max_retries=1")
    code, out = sweep.finish(sweep.start(*broken))
    assert code == 1, out
    assert out.count("again  ") == 1
    assert "FAILED" in out
    assert "/no/python: No such file or directory" in out


def test_cancelling_one_job(sweep, check):
    client = sweep.start()
    sweep.wait_for_step(0)
    sweep.wait_for_step(2)
    slurm("scancel", job_of(sweep, 2))
    code, out = sweep.finish(client)
    assert code == 1
    assert "FAILED seed=2: JobLost" in out
    assert "was cancelled" in out
    check(failed={2: "was cancelled"})
    code, out = sweep.finish(sweep.start())  # asked for again, it goes on from its checkpoint
    assert code == 0, out
    check()


@pytest.mark.parametrize("how", ["avatarl cancel", "scancel", "scancel before it began"])
def test_a_cancellation_is_remembered_when_slurm_has_forgotten_the_job(sweep, check, cluster, how):
    one_at_a_time = ["hydra.launcher.array_parallelism=1"] if "before" in how else []
    client = sweep.start(*one_at_a_time)
    sweep.wait_for_step(0)
    if not one_at_a_time:
        sweep.wait_for_step(2)
    client.send_signal(signal.SIGSTOP)  # it looks again only when nobody knows the jobs any more
    if how == "avatarl cancel":
        note = sweep.sweep / "launch.json"
        record = json.loads(note.read_text())
        record["owner"]["host"] = "elsewhere"  # else it would be told to stop, like the jobs
        note.write_text(json.dumps(record))
        command = [sys.executable, "-m", "avatarl", "cancel", "s"]
        subprocess.run([*command, "--output-dir", sweep.directory], cwd=ROOT, check=True)
    else:
        slurm("scancel", job_of(sweep, 2))
    sweep.wait_for(lambda: not slurm("squeue", "-h"), what="empty queue")
    cluster.stop_controller()
    cluster.start_controller(clean=True)
    cluster.wait_until_idle()
    client.send_signal(signal.SIGCONT)
    code, out = sweep.finish(client)
    assert code == 1, out
    assert "again  " not in out
    every = dict.fromkeys(range(3), "was cancelled")
    check(failed=every if how == "avatarl cancel" else {2: "was cancelled"})
    assert len(sweep.jobs()) == 2
    code, out = sweep.finish(sweep.start())  # asked for again, all of it goes on
    assert code == 0, out
    check()


@pytest.mark.parametrize("who", ["child", "supervisor"])
def test_kill_9_in_the_job(sweep, check, who):
    client = sweep.start()
    sweep.wait_for_step(0, 60)
    child = ownership.current_owner(sweep.runs()[0].folder).pid
    parent = psutil.Process(child).ppid()
    os.kill(child if who == "child" else parent, signal.SIGKILL)
    code, out = sweep.finish(client)
    assert code == 0, out
    assert sweep.starts(0) == 2
    check()


def test_kill_9_of_the_client(sweep, check):
    client = sweep.start()
    sweep.wait_for_step(0)
    client.kill()
    client.wait()
    sweep.wait_for(lambda: not slurm("squeue", "-h"), what="empty queue")
    check()
    code, out = sweep.finish(sweep.start())
    assert code == 0, out
    assert [sweep.starts(seed) for seed in range(3)] == [1, 1, 1]


def test_a_node_goes_down_for_good(sweep, check, cluster):
    client = sweep.start()
    sweep.wait_for_step(0, 40)
    job = job_of(sweep, 0)
    node = slurm("squeue", "-h", "-r", "-j", job, "-o", "%N").strip()
    cluster.stop_node(node)
    try:
        code, out = sweep.finish(client)
        assert code == 0, out
        assert sweep.starts(0) == 2
        check()
    finally:
        cluster.start_node(node)
        slurm("scontrol", "update", f"NodeName={node}", "State=RESUME", check=False)
        cluster.wait_until_idle()


def test_the_controller_restarts(sweep, check, cluster):
    client = sweep.start()
    sweep.wait_for_step(0)
    cluster.stop_controller()
    try:
        time.sleep(3)
    finally:
        cluster.start_controller()
    code, out = sweep.finish(client)
    assert code == 0, out
    check()
    assert [sweep.starts(seed) for seed in range(3)] == [1, 1, 1]


def test_two_clients_at_once(sweep, check):
    clients = [sweep.start(), sweep.start("hydra.launcher.runs_per_job=1")]
    for client in clients:
        code, out = sweep.finish(client)
        assert code == 0, out
    check()
    assert [sweep.starts(seed) for seed in range(3)] == [1, 1, 1]


def test_runs_that_fail_are_named_and_runs_that_stumble_get_up(sweep, check):
    """One sweep with every way to fail that a run has; the last two are without fault.

    A disk that is full for a moment is waited for, and no start is spent on it; one that stays full
    fails the run once patience is over.
    """
    sweep.faults = {
        0: "raise",
        1: "exit 9",
        2: "memory",
        3: "nan",
        4: "disk",
        5: "hang once",
        6: "kill once",
        7: "disk once",
    }
    sweep.seeds = 10
    more = (
        "hydra.launcher.hang_after_s=40",  # longer than a busy machine takes to import torch
        "hydra.launcher.runs_per_job=5",
        "hydra.launcher.storage_patience_s=3",
    )
    code, out = sweep.finish(sweep.start(*more))
    assert code == 1, out
    reasons = {
        0: "ValueError: this run is no good",
        1: "exited with code 9",
        2: "can't allocate memory",
        3: "Diverged",
        4: "No space left on device",
    }
    for seed, reason in reasons.items():
        [line] = [line for line in out.splitlines() if f"FAILED seed={seed}:" in line]
        assert reason in line
    check(failed=reasons)
    starts = [sweep.starts(seed) for seed in range(10)]
    assert starts.pop(4) >= 1  # as often as patience allows
    assert starts == [1, 3, 2, 1, 2, 2, 1, 1, 1]


def test_a_run_that_failed_before_it_was_queued_is_not_told_as_failed(sweep, check, monkeypatch):
    def broken(*arguments, **keywords):
        raise RuntimeError("the cat sat on the disk")

    words = [*TINY, f"trainer.steps={sweep.steps}", "seed=0", f"output_dir={sweep.directory}"]
    with monkeypatch.context() as patch:
        patch.setattr(monitors, "evaluate_all", broken)
        with pytest.raises(RuntimeError):
            execute(composition.compose(words))
    assert list(sweep.directory.glob("runs/*/failure.json"))
    code, out = sweep.finish(sweep.start())
    assert code == 0, out
    assert "FAILED" not in out
    check()


def test_a_truncated_checkpoint_is_passed_over(sweep, check):
    client = sweep.start()
    sweep.wait_for_step(0, 60)
    slurm("scontrol", "hold", job := job_of(sweep, 0), check=False)
    slurm("scontrol", "requeuehold", job)
    sweep.wait_for(
        lambda: (
            json.loads((sweep.runs()[0].path / "progress.json").read_text())["state"]
            == "interrupted"
        ),
        what="checkpoint",
    )
    newest = max(
        sweep.runs()[0].path.glob("checkpoint-*.safetensors"), key=lambda p: p.stat().st_mtime
    )
    newest.write_bytes(newest.read_bytes()[:1000])
    sweep.wait_for(lambda: "PENDING" in slurm("squeue", "-h", "-r", "-j", job, "-o", "%T"))
    slurm("scontrol", "release", job)
    code, out = sweep.finish(client)
    assert code == 0, out
    check()


def test_editing_the_working_tree_while_jobs_wait_changes_nothing(sweep, check, tmp_path):
    # A copy of the source is what gets edited; the sweep is launched from it.
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True
    ).stdout.split("\n")
    tree = tmp_path / "tree"
    for name in listed:
        if name and (ROOT / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            (tree / name).write_bytes((ROOT / name).read_bytes())
    subprocess.run(["git", "init", "-q", str(tree)], check=True)
    command = sweep.command(
        "hydra.launcher.wait=false", "+hydra.launcher.additional_parameters.hold=true"
    )
    command[1] = str(tree / "run.py")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(tree)}
    out = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True)
    assert out.returncode == 0, out.stdout + out.stderr
    for path in (*tree.glob("avatarl/**/*.py"), *tree.glob("conf/**/*.yaml"), tree / "run.py"):
        path.write_text("1 / 0\n")
    slurm("scontrol", "release", sweep.jobs()[0].split("_")[0])
    sweep.wait_for(lambda: not slurm("squeue", "-h"), what="empty queue")
    check()


def test_failing_fast_stops_the_sweep(sweep, check):
    sweep.faults, sweep.seeds = {0: "raise"}, 4
    code, out = sweep.finish(sweep.start("hydra.launcher.failure_policy=fail_fast"))
    assert code == 1
    done = [seed for seed, run in sweep.runs().items() if (run.path / "result.json").exists()]
    assert len(done) < 3
    sweep.faults = {}
    code, out = sweep.finish(sweep.start())
    assert code == 0, out
    check()


assert Sweep  # what the fixtures are made of
