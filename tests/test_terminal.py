"""What becomes of standard output and error ends no work; what users wrote is printed as it is."""

from __future__ import annotations

import ast
import io
import os
import pty
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import rich.console
from rich.text import Text

from avatarl import terminal
from avatarl.files import write_json
from avatarl.runs import ownership
from avatarl.runs.state import RunState
from avatarl.sweep.plan import request
from avatarl.sweep.plan.planned import Candidate, Plan, PlannedRun, make_plan
from avatarl.sweep.screen import RunTable
from avatarl.sweep.survey import Row
from tests import tiny

ROOT = Path(__file__).resolve().parents[1]
RUN = [sys.executable, str(ROOT / "run.py")]
CLI = [sys.executable, "-m", "avatarl"]
QUICK = [
    *tiny.TINY,
    "tracking=files",
    "trainer.steps=20",
    "trainer.eval_positions=64",
    "trainer.sample_characters=5",
]
AWKWARD = ["[/exp/a]", "[demo]", ":bug:", "[red]x", "a\\[b]", "[link=x]y"]


def environment(**more: str) -> dict[str, str]:
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "sweep")])
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": paths, "COLUMNS": "200", **more}


def closed(words: list[str], cwd: Path) -> int:
    return subprocess.run(
        ["bash", "-c", f"exec {shlex.join(words)} <&- >&- 2>&-"],
        cwd=cwd, env=environment(), timeout=300,
    ).returncode  # fmt: skip


def reader_has_left(words: list[str], cwd: Path) -> int:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        return subprocess.run(
            words, cwd=cwd, env=environment(), stdout=writing, stderr=writing, timeout=300
        ).returncode
    finally:
        os.close(writing)


def full(words: list[str], cwd: Path) -> int:
    with Path("/dev/full").open("wb") as output:
        return subprocess.run(
            words, cwd=cwd, env=environment(), stdout=output, stderr=output, timeout=300
        ).returncode


def ascii_only(words: list[str], cwd: Path) -> int:
    done = subprocess.run(
        words, cwd=cwd, env=environment(PYTHONIOENCODING="ascii"), capture_output=True, timeout=300
    )
    assert (done.stdout + done.stderr).isascii()
    return done.returncode


def terminal_is_closed(words: list[str], cwd: Path) -> int:
    """Start under a terminal of its own that is closed at the first word."""
    pid, master = pty.fork()
    if pid == 0:
        os.chdir(cwd)
        os.execve(words[0], words, environment(TERM="xterm"))
    os.read(master, 1)
    os.close(master)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


FATES = [closed, reader_has_left, full, ascii_only, terminal_is_closed]
Fate = Callable[[list[str], Path], int]


@pytest.mark.parametrize("fate", FATES)
def test_a_run_ends_well_whatever_becomes_of_its_output(tmp_path: Path, fate: Fate) -> None:
    assert fate([*RUN, *QUICK], tmp_path) == 0
    assert len(list(tmp_path.glob("outputs/runs/*/result.json"))) == 1


@pytest.mark.parametrize("fate", [closed, reader_has_left, terminal_is_closed])
def test_a_sweep_ends_well_whatever_becomes_of_its_output(tmp_path: Path, fate: Fate) -> None:
    words = ["-m", *QUICK, "seed=0", "sweep_name=s", "hydra.launcher.control=false"]
    # With the training itself: workers inherit what their parent prints to.
    assert fate([*RUN, *words, "hydra.launcher.workers=1"], tmp_path) == 0
    assert len(list(tmp_path.glob("outputs/runs/*/result.json"))) == 1
    assert (tmp_path / "outputs/sweeps/s/comparison.txt").is_file()


@pytest.mark.parametrize("fate", FATES[:-1])
def test_what_looks_at_a_sweep_ends_well_whatever_becomes_of_its_output(
    tmp_path: Path, fate: Fate
) -> None:
    run = planned(tmp_path)
    write_json(run.folder.result, {"val/nats": 1.0, "state": "done"})
    run.folder.log.write_text("done é\n")
    page = tmp_path / "page.html"
    for command in (["status", "--all"], ["watch"], ["logs"], ["compare", "--html", str(page)]):
        assert fate([*CLI, *command], tmp_path) == 0
    assert page.is_file()


def planned(folder: Path, name: str = "s", label: str = "seed=0") -> PlannedRun:
    """The one run of a sweep that is written down."""
    config = {"name": "t", "seed": 0, "output_dir": str(folder / "outputs")}
    plan = make_plan(name, [Candidate((label,), config, "0" * 16, "one")], corpus={})
    (run,) = plan.runs
    run.path.mkdir(parents=True)
    plan.write(folder / "outputs/sweeps/s")
    return run


def test_what_is_refused_is_refused_with_no_output_as_well(tmp_path: Path) -> None:
    for fate in (closed, reader_has_left, full):
        assert fate([*RUN, "seed=-1"], tmp_path) == 2
    assert list(tmp_path.iterdir()) == []


def test_processes_inherit_an_output_even_if_it_was_closed() -> None:
    code = (
        "from avatarl import terminal; terminal.secure(); import subprocess, sys;"
        "look = 'import os; [os.fstat(n) for n in range(3)]';"
        "sys.exit(subprocess.call([sys.executable, '-c', look]))"
    )
    assert closed([sys.executable, "-c", code], ROOT) == 0


def test_no_file_takes_the_place_of_a_closed_output(tmp_path: Path) -> None:
    assert closed([*RUN, *QUICK], tmp_path) == 0
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path for path in files if b"held out:" in path.read_bytes()] == []


def test_ctrl_c_ends_a_run_whose_reader_has_left(tmp_path: Path) -> None:
    words = [*RUN, *QUICK, "trainer.steps=1000000", "trainer.log_every=5"]
    process = subprocess.Popen(words, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith(b"step"):
                break
        process.stdout.close()
        process.send_signal(signal.SIGINT)
        assert process.wait(300) == 130
    finally:
        process.kill()
        process.wait()
    assert list(tmp_path.glob("outputs/runs/*/checkpoint-*.json"))


@pytest.mark.parametrize("command", [["watch"], ["logs", "-f"]])
def test_what_only_shows_something_ends_when_its_reader_leaves(
    tmp_path: Path, command: list[str]
) -> None:
    run = planned(tmp_path)
    run.folder.log.write_text("begun\n")
    ownership.claim(run.folder)
    assert reader_has_left([*CLI, *command], tmp_path) == 0


def test_every_command_is_quiet_about_a_reader_that_leaves(tmp_path: Path) -> None:
    sweep = ["-m", *QUICK, "seed=0", "sweep_name=s", "hydra.launcher.control=false"]
    reader_leaves([*RUN, *sweep, "hydra.launcher.workers=1"], tmp_path)
    (trained,) = map(str, tmp_path.glob("outputs/runs/*"))
    for words in (
        *([*RUN, *flags] for flags in (["--help"], ["--info"], ["--cfg", "job"])),
        *([*CLI, "run", *flags] for flags in (["-h"], ["-sc", "install=bash"])),
        *([*RUN, *sweep, f"hydra.launcher.dry_run={shown}"] for shown in ("true", "json")),
        *([*CLI, *flags] for flags in ([], ["--version"], ["compare", "--help"])),
        *([*CLI, "status", *flags] for flags in (["--all"], ["--json"])),
        *([*CLI, "compare", *flags] for flags in ([], ["--json"])),
        *([*CLI, "inspect", trained, *flags] for flags in ([], ["--json"])),
        *([*CLI, command] for command in ("logs", "watch", "sync", "backfill")),
        [*CLI, "sample", trained, "--characters", "1000000000"],
        [*CLI, "new", "reward", "focal"],
    ):
        reader_leaves(words, tmp_path)


def reader_leaves(words: list[str], cwd: Path) -> None:
    """Read the first letter of what a command says, and no more."""
    with subprocess.Popen(
        words, cwd=cwd, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(1)
        process.stdout.close()
        told = process.stderr.read().decode()
    assert "Traceback" not in told, (words, told)
    assert "Broken" not in told, (words, told)
    assert process.returncode == 0, (words, told)


def test_text_of_users_is_printed_as_text() -> None:
    for text in AWKWARD:
        for console in (terminal.console(), rich.console.Console()):
            console.file = io.StringIO()
            terminal.say(console, text)
            assert console.file.getvalue() == f"{text}\n"


@pytest.mark.parametrize("text", AWKWARD)
def test_tables_show_labels_names_and_nodes_as_text(tmp_path: Path, text: str) -> None:
    run = planned(tmp_path, text, f"label={text}")
    plan = Plan.read(tmp_path / "outputs/sweeps/s")
    out = io.StringIO()
    console = rich.console.Console(file=out, width=200)
    request.show_plan(plan, console, workers=1)
    assert out.getvalue().count(text) == 2
    row = Row(run, RunState.RUNNING, job_id=text, node=text, gpu=text, reason=text)
    console.print(RunTable(plan.names, [row]))
    assert out.getvalue().count(text) == 2 + 5


def test_a_dry_run_with_awkward_tags_shows_them(tmp_path: Path) -> None:
    tags = "tracking.tags=[/exp/a],[/exp/b]"
    words = ["-m", *QUICK, "hydra.launcher.dry_run=true", "tracking=wandb", tags]
    done = subprocess.run(
        [*RUN, *words], cwd=tmp_path, env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "/exp/a" in done.stdout


def test_the_command_that_continues_an_interrupted_sweep_can_be_pasted(tmp_path: Path) -> None:
    words = ["-m", *QUICK, "trainer.steps=1000000", "seed=0", "hydra.launcher.workers=1"]
    words += ["hydra.launcher.control=false", "sweep_name=s"]
    words += ["tracking=wandb", "tracking.mode=disabled", "tracking.tags=[demo],[/exp/b]"]
    process = subprocess.Popen(
        [*RUN, *words], cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, text=True
    )
    try:
        _wait_for(lambda: any(tmp_path.glob("outputs/runs/*/progress.json")), process)
        process.send_signal(signal.SIGINT)
        told = process.communicate(timeout=300)[0]
    finally:
        process.kill()
        process.wait()
    command = told.rpartition("start again: ")[2].strip()
    assert shlex.split(command)[2:] == words


def _wait_for(event: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    while not event():
        assert process.poll() is None
        time.sleep(0.1)


def test_only_one_place_makes_consoles() -> None:
    for path in [*(ROOT / "avatarl").rglob("*.py"), *(ROOT / "hydra_plugins").rglob("*.py")]:
        text = path.read_text(encoding="utf-8")
        if "rich.console" not in text or path == ROOT / "avatarl/terminal.py":
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("Console"):
                # Into a file or a string is where a table may be drawn by itself.
                given = {keyword.arg for keyword in node.keywords}
                assert "file" in given, f"{path}:{node.lineno}"


def test_a_style_is_meant_where_it_is_said() -> None:
    out = io.StringIO()
    console = terminal.console()
    console.file = out
    console.print(Text("[bold]", "bold"))
    assert out.getvalue() == "[bold]\n"
