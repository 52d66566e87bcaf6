"""``avatarl run --help`` without Hydra says what Hydra would say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from avatarl import run_help

ROOT = Path(__file__).resolve().parents[1]


def printed(*words: str) -> str:
    done = subprocess.run(
        [sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.mark.parametrize("start", [["run.py"], ["-m", "avatarl", "run"]])
def test_it_is_letter_for_letter_what_hydra_prints(start: list[str]) -> None:
    by_hydra = printed(*start, "--help", "seed=0")
    assert "reference/schedule: annealed" in by_hydra
    assert printed(*start, "--help") == printed(*start, "-h") == by_hydra


def test_it_needs_neither_hydra_nor_torch() -> None:
    code = "import sys; from avatarl import run_help; assert run_help.told(['--help']); "
    code += "assert not {'hydra', 'omegaconf', 'torch', 'numpy'} & set(sys.modules)"
    printed("-c", code)


def test_more_than_help_is_hydras(capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([], ["-cd", "mine", "--help"], ["--help", "seed=0"], ["seed=0"]):
        assert not run_help.told(words)
    assert capsys.readouterr().out == ""


def test_options_that_another_package_brings_are_hydras_to_find(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hydra_plugins").mkdir()
    (tmp_path / "hydra_plugins" / "mylab.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    assert not run_help.told(["--help"])
