"""Completion, as bash asks for it: by what Hydra's own script defines."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.waiting import PATIENCE_S

ROOT = Path(__file__).resolve().parents[1]
BASH = shutil.which("bash")


def completed(line: str, folder: Path) -> list[str]:
    """What bash offers for a line that ends where the cursor is."""
    bin_folder = folder / "bin"
    bin_folder.mkdir()
    for name in ("demo", "demo_teacher", "match_all"):
        (folder / "outputs" / "sweeps" / name).mkdir(parents=True)
    (folder / "outputs" / "runs" / "match-ngram4-0123").mkdir(parents=True)
    program = bin_folder / "avatarl"
    program.write_text(f"#!{sys.executable}\nimport avatarl.cli\navatarl.cli.main()\n")
    program.chmod(0o755)
    shutil.copy(ROOT / "run.py", folder)
    start = "python run.py" if line.startswith("python") else "avatarl run"
    script = f"""
        eval "$({start} --shell-completion install=bash)"
        COMP_LINE={line!r}; COMP_POINT=${{#COMP_LINE}}
        words=($COMP_LINE); COMP_CWORD=$((${{#words[@]}} - 1))
        hydra_bash_completion
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    places = [str(bin_folder), str(Path(sys.executable).parent), os.environ["PATH"]]
    done = subprocess.run(
        [str(BASH), "-c", script],
        cwd=folder,
        env={**os.environ, "PATH": os.pathsep.join(places), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.skipif(BASH is None, reason="needs bash")
@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("python run.py reference=bi", ["reference=bigram"]),
        ("python run.py -m reference=bigram,tri", ["reference=bigram,trigram"]),
        ("avatarl run -m explorer=swarm,", ["bandit", "exhaustive", "temperature"]),
        ("avatarl run -m reference=bigram,trigram reward=ma", ["reward=match"]),
        ("avatarl run tracking=[wandb,", ["tracking=[wandb,files", "tracking=[wandb,tensorboard"]),
        ("avatarl run trainer.eval_e", ["trainer.eval_every="]),
        ("avatarl co", ["compare"]),
        ("avatarl status de", ["demo", "demo_teacher"]),
        ("avatarl compare match", ["match_all", "match-ngram4-0123"]),
        ("avatarl sample demo", []),
    ],
)  # fmt: skip
def test_words_are_completed_after_a_comma_too(
    line: str, offered: list[str], tmp_path: Path
) -> None:
    found = completed(line, tmp_path)
    assert [word.removeprefix("explorer=swarm,") for word in found] == offered
