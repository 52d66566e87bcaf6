from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from avatarl import cli

ROOT = Path(__file__).resolve().parents[2]


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 0
    out = capsys.readouterr().out
    for name, (_, summary) in cli.COMMANDS.items():
        assert name in out
        assert summary.split()[0] in out


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main([name, "--help"])
    assert caught.value.code == 0
    assert f"avatarl {name}" in capsys.readouterr().out


def test_an_unknown_command_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["stauts"])
    assert caught.value.code == 2
    assert "status" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["status", "compare"])
def test_looking_does_not_load_torch(name: str, tmp_path: Path) -> None:
    code = (
        "import sys; from avatarl import cli; "
        f"cli.main([{name!r}, 'nothing', '--output-dir', {str(tmp_path)!r}]); "
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
