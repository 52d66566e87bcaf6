"""The command line as users type it, in processes of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hydra._internal.utils import get_args_parser

from avatarl import app
from avatarl.composition.releases import IS_NEXT
from tests import tiny
from tests.waiting import PATIENCE_S

ROOT = Path(__file__).resolve().parents[1]
QUICK = [
    *tiny.TINY,
    "tracking=files",
    "trainer.steps=20",
    "trainer.eval_positions=256",
    "trainer.sample_characters=20",
]


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}


def run(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "run.py"), *words],
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )


def results(folder: Path) -> list[dict[str, object]]:
    return [json.loads(path.read_text()) for path in sorted(folder.glob("runs/*/result.json"))]


def test_one_run_tells_its_story_and_is_not_computed_twice(tmp_path: Path) -> None:
    done = run(*QUICK, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("text: folio")
    assert "held out:" in done.stdout
    assert "n-grams:" in done.stdout
    (result,) = results(tmp_path / "outputs")
    assert f"{result['val/nats']:.4f} nats" in done.stdout
    before = (tmp_path / "outputs/runs").stat().st_mtime
    again = run(*QUICK, cwd=tmp_path)
    assert again.returncode == 0
    assert results(tmp_path / "outputs") == [result]
    assert (tmp_path / "outputs/runs").stat().st_mtime == before


#: What Hydra 1.3 sorts wrongly, and 1.4 rightly.
RANGES = [] if IS_NEXT else [(["-m", "seed=sort(range(0,5,2),reverse=true)"], "valid: seed=4,2,0")]


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["reward=nothing"], "confidence_scaled"),
        (["reward.confidence_wieght=1"], "did you mean 'confidence_weight'"),
        (["-m", "reference=bigram,nothing"], "ngram4"),
        (["-m", "seed=0,-1"], "seed=-1"),
        (["data=text", "data.path=/no/such/file"], "data.path='/no/such/file'"),
        (["data=tinyshakespeare", "data.path=no/such/file"], "data.path='no/such/file'"),
        (["model.context_length=30000"], "model.context_length"),
        (["trainer.batch_size=1000000"], "trainer.batch_size"),
        (["trainer.eval_stride=9"], "trainer.eval_stride"),
        (["output_dir=/dev/null/x"], "output_dir"),
        (["--config-dir=mine"], "/mine can't be used (no such folder)"),
        (["search.metric=dev/nat"], "did you mean 'dev/nats'"),
        (["reward=null"], "reward='null' can't be used; valid: confidence_scaled"),
        (["-m", "seed=0,1", "sweep_name=team/exp1"], "sweep_name='team/exp1'"),
        (["-m", "seed=0,1", "sweep_name=../../x"], "sweep_name='../../x'"),
        *RANGES,
        (["-m", "reference=glob(zzz*)"], "no option matches"),
        (["-m", "seed=0,1", "hydra.launcher.control=3"], "hydra.launcher.control=3 can't be used"),
        (["-m", "seed=0,1", "hydra.launcher.compare=null"], "hydra.launcher.compare=null"),
        (["-m", "seed=0,1", "hydra.sweeper.control=3"], "hydra.sweeper.control=3 can't be used"),
        (["-m", "seed=0,1", "hydra.sweeper.max_batch_size=x"], "hydra.sweeper.max_batch_size='x'"),
    ],
)
def test_bad_input_is_one_line_exit_code_2_and_nothing_written(
    tmp_path: Path, words: list[str], named: str
) -> None:
    # Another text has no use for the keys of the quick one.
    other_text = any(word.startswith("data=") for word in words)
    quick = [word for word in QUICK if not (other_text and word.startswith("data"))]
    done = run(*quick, *words, cwd=tmp_path)
    assert done.returncode == 2, done.stdout + done.stderr
    message = done.stderr.strip()
    assert named in message
    assert message.startswith("avatarl: ")
    if "-m" not in words:
        assert "\n" not in message
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_flags_stand_anywhere_among_the_overrides() -> None:
    typed = ["seed=1", "-m", "a=1,2", "-cn", "x=y", "~b", "--cfg=job", "-c", "job", "+c=1"]
    flags = ["-m", "-cn", "x=y", "--cfg=job", "-c", "job"]
    assert app._split(typed) == (flags, ["seed=1", "a=1,2", "~b", "+c=1"])
    takes = [action for action in get_args_parser()._actions if action.nargs != 0]
    assert {word for action in takes for word in action.option_strings} == app._FLAGS_WITH_VALUE


def test_a_single_run_says_what_it_does_not_heed(tmp_path: Path) -> None:
    words = ["search=asha", "hydra/launcher=slurm", "trainer.steps=1"]
    done = run(*QUICK, *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "note: only sweeps (-m) heed hydra/launcher=slurm, search=asha" in done.stdout


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_checkpoints_and_the_same_command_continues(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    words = [sys.executable, str(ROOT / "run.py"), *QUICK, "trainer.steps=1500"]
    process = subprocess.Popen(
        [*words, "trainer.log_every=5"],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("step"):
                break
        process.send_signal(number)
        rest = process.stdout.read()
        assert process.wait(PATIENCE_S) == code
    finally:
        process.kill()
        process.wait()
    assert "continues it" in rest
    directory = next((tmp_path / "outputs/runs").iterdir())
    assert list(directory.glob("checkpoint-*.safetensors"))
    assert not (directory / "result.json").exists()
    done = run(*words[2:], "trainer.log_every=5", cwd=tmp_path)
    assert done.returncode == 0
    assert "continuing after step" in (directory / "run.log").read_text()
    steps = [json.loads(line).get("step") for line in (directory / "metrics.jsonl").open()][1:]
    assert steps == sorted(steps)
    assert steps[-1] == 1500


def test_a_run_by_hand_waits_for_storage_that_is_gone_for_a_while(tmp_path: Path) -> None:
    words = [sys.executable, str(ROOT / "run.py"), *QUICK, "trainer.steps=1500"]
    process = subprocess.Popen(
        [*words, "trainer.log_every=5"],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    outputs, away = tmp_path / "outputs", tmp_path / "away"
    try:
        assert process.stdout is not None
        next(line for line in process.stdout if line.startswith("step"))
        outputs.rename(away)
        next(line for line in process.stdout if "waiting up to 600 s for storage" in line)
        assert not outputs.exists()
        away.rename(outputs)
        rest = process.stdout.read()
        assert process.wait(PATIENCE_S) == 0
    finally:
        process.kill()
        process.wait()
    assert "storage is back" in rest
    (result,) = results(outputs)
    directory = next((outputs / "runs").iterdir())
    steps = [json.loads(line).get("step") for line in (directory / "metrics.jsonl").open()][1:]
    assert steps == sorted(steps)
    assert steps[-1] == result["steps"] == 1500


def test_a_sweep_ends_with_table_and_picture_and_recomputes_nothing(tmp_path: Path) -> None:
    words = ["-m", *QUICK, "reward=confidence_scaled", "reward.confidence_weight=0,1"]
    done = run(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    finished = results(tmp_path / "outputs")
    assert len(finished) == 3
    assert [result["is_control"] for result in finished].count(True) == 1
    (sweep,) = (tmp_path / "outputs/sweeps").iterdir()
    assert (sweep / "comparison.png").read_bytes().startswith(b"\x89PNG")
    table = (sweep / "comparison.txt").read_text()
    assert "bigram" in table
    assert "control" in table
    again = run(*words, cwd=tmp_path)
    assert again.returncode == 0
    assert results(tmp_path / "outputs") == finished  # the seconds too: nothing was computed


def test_help_is_for_people(tmp_path: Path) -> None:
    done = run("--help", cwd=tmp_path)
    assert done.returncode == 0
    for group in ("data", "model", "reference", "explorer", "reward", "objective", "optimizer"):
        assert f"{group}:" in done.stdout
    assert "experiment: best_alone, best_bandit, best_prior, seed_a," in done.stdout
    assert "python run.py -m" in done.stdout


def test_the_configuration_can_be_shown(tmp_path: Path) -> None:
    done = run("--cfg", "job", cwd=tmp_path)
    assert done.returncode == 0
    assert "confidence_weight: 0.5" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_the_configuration_can_be_shown_with_all_values(tmp_path: Path) -> None:
    done = run("--cfg=job", "--resolve", *QUICK, "seed=3", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "${" not in done.stdout
    assert "sweep_name: " in done.stdout


def test_a_traceback_is_shown_to_whoever_asks_for_it(tmp_path: Path) -> None:
    words = [sys.executable, str(ROOT / "run.py"), *QUICK, "optimizer.lr=-1"]
    wanted = {**environment(), "HYDRA_FULL_ERROR": "1"}
    done = subprocess.run(
        words, cwd=tmp_path, env=wanted, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "Traceback" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("avatarl: optimizer.lr=")


def test_equal_combinations_are_told(tmp_path: Path) -> None:
    done = run("-m", *QUICK, "seed=0,0,1", "hydra.launcher.dry_run=true", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "3 typed, 2 distinct" in done.stdout


def test_from_python_the_same_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import avatarl

    monkeypatch.chdir(tmp_path)
    result = avatarl.run(QUICK)
    assert dict(result) == results(tmp_path / "outputs")[0]
