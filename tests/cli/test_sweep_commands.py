from __future__ import annotations

import argparse
import io
import json
import re
import signal
import subprocess
import sys

import pytest
from rich.console import Console

from avatarl.cli import logs, main
from avatarl.errors import UserError
from avatarl.files import write_json
from avatarl.runs import find, liveness, ownership
from avatarl.runs.folder import RunFolder
from avatarl.sweep import reproduce
from avatarl.sweep.plan import launches
from avatarl.sweep.plan.planned import Plan, make_plan
from avatarl.sweep.screen import RunTable
from avatarl.sweep.slurm import watch
from avatarl.sweep.slurm.submission import Submission, note_job
from avatarl.sweep.survey import look_at
from tests.sweep.shipped import shipped
from tests.waiting import PATIENCE_S


@pytest.fixture
def sweep(plan_of, tmp_path):
    """A written plan: one run done, one failed, one resumable, one running here, one new."""
    plan = plan_of([{}] * 5, name="five")
    directory = tmp_path / "outputs" / "sweeps" / "five"
    plan.write(directory)
    done, failed, resumable, running, _ = plan.runs
    write_json(done.path / "result.json", {"val/nats": 1.5})
    write_json(failed.path / "failure.json", {"error": "ValueError: no good\nmore", "time": 1.0})
    write_json(resumable.path / "progress.json", {"state": "interrupted", "step": 3, "steps": 9})
    write_json(resumable.path / "checkpoint-3.json", {})
    write_json(running.path / "progress.json", {"state": "running", "step": 4, "steps": 9})
    ownership.claim(running.folder)
    return directory


def run(capsys, tmp_path, *words):
    code = main([*words, "--output-dir", str(tmp_path / "outputs")])
    return code, capsys.readouterr().out


def test_status_tells_each_state(sweep, capsys, tmp_path):
    code, out = run(capsys, tmp_path, "status", "fi", "--json")
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["state"] for row in rows] == ["done", "failed", "interrupted", "running", "new"]
    assert rows[1]["reason"] == "ValueError: no good"
    assert rows[3]["progress"]["step"] == 4
    assert code == 1
    _, out = run(capsys, tmp_path, "status")
    assert "five: 5 runs: 1 failed, 1 running, 1 interrupted, 1 new, 1 done" in out


def test_status_needs_neither_torch_nor_what_trains(sweep, tmp_path):
    code = (
        "import sys; from avatarl.cli import main;"
        f"main(['status', 'five', '--output-dir', {str(tmp_path / 'outputs')!r}]);"
        "print(sorted({'torch', 'hydra', 'numpy', 'loky', 'pydantic'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "1 done" in out.stdout
    assert out.stdout.splitlines()[-1] == "[]"


def test_names_prefixes_and_paths_are_found_and_doubts_are_told(sweep, tmp_path):
    outputs = tmp_path / "outputs"
    other = outputs / "sweeps" / "fifty"
    make_plan("fifty", [], corpus={}).write(other)
    assert find.find_sweep("five", outputs).path == sweep
    assert find.find_sweep(str(sweep), outputs).path == sweep
    with pytest.raises(UserError, match="ambiguous: fifty, five"):
        find.find_sweep("fi", outputs)
    with pytest.raises(UserError, match="did you mean 'fifty'"):
        find.find_sweep("fitfy", outputs)
    with pytest.raises(UserError, match="no sweeps in"):
        find.find_sweep(None, tmp_path)


def test_logs_show_the_end_of_a_run(sweep, capsys, tmp_path):
    [first] = (tmp_path / "outputs" / "runs").glob("*-0000000000000000")
    write_json(first / "config.json", {})
    (first / "run.log").write_text("".join(f"line {n}\n" for n in range(50)))
    code, out = run(capsys, tmp_path, "logs", "0000000000000000", "-n", "2")
    assert (code, out) == (0, "line 48\nline 49\n")
    code, out = run(capsys, tmp_path, "logs", "five", "-n", "1")
    assert (code, out) == (0, "line 49\n")


def test_logs_of_a_doubtful_name_say_what_it_could_mean(sweep, tmp_path):
    for path in (tmp_path / "outputs" / "runs").glob("t-*"):
        write_json(path / "config.json", {})
    arguments = argparse.Namespace(name="t-", jobs=False, output_dir=tmp_path / "outputs")
    with pytest.raises(UserError, match=r"run 't-' is ambiguous: .*; no sweep 't-'"):
        logs.main(arguments)


def test_a_narrow_terminal_shows_reasons_and_no_empty_columns(sweep, tmp_path):
    plan = Plan.read(sweep)
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(RunTable(plan.names, look_at(plan, sweep).rows))
    head, first, *_ = console.export_text().splitlines()
    assert head.split() == ["seed", "state", "step", "left", "steps/s", "loss", "node"]
    assert first.split(maxsplit=2) == ["1", "failed", "ValueError: no good"]


def test_done_runs_are_listed_with_what_they_came_to(sweep, capsys, tmp_path):
    [done] = (tmp_path / "outputs" / "runs").glob("*-0000000000000000")
    write_json(done / "progress.json", {"state": "done", "step": 9, "steps": 9, "loss": 0.5})
    _, out = run(capsys, tmp_path, "status", "five", "--all")
    assert re.search(r"0 +done +9/9 +0\.5000", out)


def test_a_sweep_is_spoken_of_by_what_finds_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find.spoken(tmp_path / "outputs" / "sweeps" / "s") == "s"
    assert find.spoken(tmp_path / "else where" / "sweeps" / "s").startswith("'/")


def test_a_lost_job_is_quoted(tmp_path):
    log = tmp_path / "slurm" / "1" / "submitit" / "7_1_0_log.err"
    log.parent.mkdir(parents=True)
    log.write_text("slurmstepd: error: Detected 1 oom-kill event\nsrun: error: exit code 1\n")
    assert watch._last_words(tmp_path, "7_1") == "slurmstepd: error: Detected 1 oom-kill event"
    assert watch._last_words(tmp_path, "8") == ""


def test_what_is_remembered_of_jobs_that_slurm_has_forgotten(tmp_path):
    jobs, packs = ["7_0", "7_1", "7_2", "7_3", "7_4"], [[str(n)] for n in range(5)]
    written = {"jobs": jobs, "packs": packs, "code": "", "created": 0.0}
    write_json(tmp_path / "submission.json", written)
    submission = Submission.read(tmp_path)
    (tmp_path / "submitit").mkdir()
    (tmp_path / "submitit" / "7_3_0_log.err").touch()
    note_job(tmp_path, 1, "working")  # and killed
    note_job(tmp_path, 2, "working")
    note_job(tmp_path, 2, "stopping", "SIGTERM")
    told = [submission.cancellation(job, forgotten=True) for job in jobs]
    assert told[0] == told[4] == "was cancelled before it began"
    assert told[1] is None
    assert told[2] == "was cancelled (stopped by SIGTERM, and not in the queue any more)"
    assert told[3] is None  # it wrote a log, but never came to work
    note_job(tmp_path, 2, "working")  # requeued
    assert submission.cancellation("7_2", forgotten=True) is None
    assert [submission.cancellation(job, forgotten=False) for job in jobs] == [None] * 5
    submission.note_cancellation(["7_1", "7_4"])
    submission.note_cancellation(["7_2"])
    submission.forget_cancellation(["7_4"])
    told = [submission.cancellation(job, forgotten=False) for job in jobs]
    assert told == [None, "was cancelled", "was cancelled", None, None]


def test_retry_runs_what_is_not_done(sweep, capsys, tmp_path, monkeypatch):
    changes = {"workers": 1, "freeze": False, "execute": "sweep_executors:run"}
    settings = {**shipped("local"), **changes}
    del settings["storage_patience_s"]  # an earlier version had no such setting
    write_json(sweep / "launch.json", launches.description("local", settings))
    running = next((tmp_path / "outputs" / "runs").glob("*-0000000000000003"))
    folder = RunFolder(running)
    ownership.release(folder, 1, ownership.current_owner(folder), "interrupted")
    code, out = run(capsys, tmp_path, "retry", "five")
    assert code == 0, out
    assert "[5/5]" in out
    results = list((tmp_path / "outputs" / "runs").glob("*/result.json"))
    assert len(results) == 5


def test_cancel_stops_the_launching_process(sweep, capsys, tmp_path):
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as client:
        owner = {**vars(liveness.this_process()), "pid": client.pid}
        owner["started"] = liveness._process_started(client.pid)
        write_json(sweep / "launch.json", {"launcher": "local", "settings": {}, "owner": owner})
        code, out = run(capsys, tmp_path, "cancel", "five")
        assert code == 0
        assert f"asked process {client.pid} to stop" in out
        assert client.wait(PATIENCE_S) == -signal.SIGTERM
    _, out = run(capsys, tmp_path, "cancel", "five")
    assert "nothing of five is running or queued" in out


def test_watch_ends_when_nothing_runs(plan_of, capsys, tmp_path):
    plan = plan_of([{}], name="calm")
    plan.write(tmp_path / "outputs" / "sweeps" / "calm")
    write_json(plan.runs[0].path / "result.json", {"val/nats": 1.0})
    code, out = run(capsys, tmp_path, "watch", "calm")
    assert code == 0
    assert "1 done" in out
    assert out.endswith("\n")
    assert not out.endswith("\n\n")


@pytest.mark.parametrize(
    ("key", "value", "same"),
    [
        ("val/nats", 1.5, True),
        ("val/nats", 1.5000001, False),
        ("seconds", 99.0, True),
        ("reliability", {"weight": [0.5, 0.25]}, False),
        ("new", None, True),
        ("new", 1, False),
    ],
)
def test_reproductions_are_compared_metric_by_metric(tmp_path, key, value, same):
    base = {"val/nats": 1.5, "seconds": 2.0, "reliability": {"weight": [0.5, 0.5]}}
    for name, result in (("a", base), ("b", {**base, key: value})):
        write_json(tmp_path / name / "result.json", result)
        (tmp_path / name / "metrics.jsonl").write_text('{"step": 1, "time/elapsed_s": 3}\n')
    assert (reproduce.compare(tmp_path / "a", tmp_path / "b") == []) is same
    assert reproduce.compare(tmp_path / "a", tmp_path / "b", tolerance=2.0) == [] or key == "new"


def test_a_shorter_journal_is_a_difference(tmp_path):
    for name, lines in (("a", 2), ("b", 1)):
        write_json(tmp_path / name / "result.json", {})
        (tmp_path / name / "metrics.jsonl").write_text('{"step": 1}\n' * lines)
    assert "2 records before, 1 now" in reproduce.compare(tmp_path / "a", tmp_path / "b")[0]
