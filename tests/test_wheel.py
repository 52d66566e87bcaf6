"""The package as somebody gets it who has no clone: a wheel in an environment of its own."""

from __future__ import annotations

import email
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest
import yaml

from avatarl import __version__
from tests.tiny import TINY
from tests.waiting import PATIENCE_S

ROOT = Path(__file__).resolve().parents[1]
SHORT = [*TINY, "tracking=files", "trainer.steps=6", "trainer.eval_positions=64"]
SHORT += ["trainer.sample_characters=0", "trainer.eval_every=3"]
SHIPPED = ("avatarl/", "hydra_plugins/", "conf/", "sweeps/")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from what git would give somebody who clones, changes included."""
    folder = tmp_path_factory.mktemp("built")
    listed = ["git", "-C", str(ROOT), "ls-files", "-z", "-co", "--exclude-standard"]
    names = subprocess.run(listed, capture_output=True, check=True).stdout.decode().split("\0")
    for name in filter(None, names):
        wanted = "/" not in name or name.startswith(SHIPPED)
        if wanted and (ROOT / name).is_file():
            (folder / "source" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / "source" / name)
    build = f"from setuptools import build_meta; build_meta.build_wheel({str(folder)!r})"
    where = folder / "source"
    subprocess.run([sys.executable, "-c", build], cwd=where, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def avatarl(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command, in an environment that has the wheel, and borrows what it depends on."""
    home = tmp_path_factory.mktemp("installed")
    venv.create(home, with_pip=False)
    python = home / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-index"]
    # Nor is what PYTHONPATH leads to taken for an installation.
    subprocess.run([*install, "--no-deps", "-q", str(wheel)], check=True, env=own_environment())
    (site,) = home.glob("lib/python*/site-packages")
    # A folder named in a .pth file isn't searched for .pth files: no editable install comes along.
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return home / "bin" / "avatarl"


def own_environment() -> dict[str, str]:
    lent = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    return {name: value for name, value in os.environ.items() if name not in lent}


def run(*words: object, cwd: Path) -> str:
    done = subprocess.run(
        [*map(str, words)],
        cwd=cwd,
        env={**own_environment(), "OMP_NUM_THREADS": "1", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def result(folder: Path, name: str = "*") -> dict[str, object]:
    (path,) = folder.glob(f"outputs/runs/{name}/result.json")
    return json.loads(path.read_text())


def test_the_wheel_holds_every_file_of_settings(wheel: Path) -> None:
    inside = set(zipfile.ZipFile(wheel).namelist())
    for top in ("conf", "sweeps"):
        files = {path for path in (ROOT / top).rglob("*") if path.is_file()}
        assert files
        assert {f"avatarl/{path.relative_to(ROOT)}" for path in files} <= inside
    assert not [name for name in inside if name.startswith(("conf/", "sweeps/", "tests/"))]


def test_it_runs_as_a_clone_does(avatarl: Path, tmp_path: Path) -> None:
    """One program under three names: the same run, not computed twice."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert "held out:" in run(avatarl, "run", *SHORT, cwd=tmp_path / "a")
    run(sys.executable, ROOT / "run.py", *SHORT, cwd=tmp_path / "b")
    installed, cloned = result(tmp_path / "a"), result(tmp_path / "b")
    for key in ("run_id", "val/nats", "val/accuracy", "samples"):
        assert installed[key] == cloned[key]
    for words in (["-m", "avatarl", "run"], ["-m", "avatarl"]):
        run(avatarl.with_name("python"), *words, *SHORT, cwd=tmp_path / "a")
        assert result(tmp_path / "a") == installed
    python = f"import avatarl; print(avatarl.run({SHORT!r})['val/nats'], avatarl.__file__)"
    nats, place = run(avatarl.with_name("python"), "-c", python, cwd=tmp_path / "a").split()[-2:]
    assert float(nats) == installed["val/nats"]
    assert str(ROOT) not in place


def test_it_sweeps_a_kept_sweep_and_compares(avatarl: Path, tmp_path: Path) -> None:
    """Workers import the frozen copy of the installed package, and nothing of a clone."""
    fewer = ["hydra.launcher.workers=1", "~hydra.sweeper.params.reference", "sweep_name=demo"]
    short = ["tracking.mode=disabled" if word == "tracking=files" else word for word in SHORT]
    out = run(avatarl, "run", "-cn", "demo", *short, *fewer, cwd=tmp_path)
    assert "control" in out
    (code,) = (tmp_path / "outputs" / "code").iterdir()
    assert (code / "avatarl" / "conf" / "config.yaml").is_file()
    assert (code / "hydra_plugins" / "avatarl_launcher" / "launcher.py").is_file()
    owners = [json.loads(path.read_text()) for path in tmp_path.glob("outputs/runs/*/owner.json")]
    assert {owner["code"] for owner in owners} <= {str(code), None}
    assert "bigram" in run(avatarl, "compare", "demo", cwd=tmp_path)
    assert "3 done" in run(avatarl, "status", "demo", cwd=tmp_path)


def test_own_settings_lie_beside_it(avatarl: Path, tmp_path: Path) -> None:
    (tmp_path / "mine" / "reward").mkdir(parents=True)
    (tmp_path / "mine" / "reward" / "bold.yaml").write_text(
        "name: bold\nkind: match\nweight: 2.0\n"
    )
    for words in (["-cd", "mine"], ["hydra.searchpath=[file://mine]"]):
        shown = run(avatarl, "run", *words, "reward=bold", "--cfg", "job", cwd=tmp_path)
        assert "name: bold" in shown


def test_it_measures_references_and_queues_jobs(avatarl: Path, tmp_path: Path) -> None:
    measured = run(avatarl, "references", "--data", "folio", "--orders", "2", cwd=tmp_path)
    assert "kneser_ney" in measured
    shown = run(
        avatarl, "run", "-m", *SHORT, "seed=0,1", "hydra/launcher=slurm",
        "hydra.launcher.dry_run=true", cwd=tmp_path,
    )  # fmt: skip
    assert f"export PYTHONPATH='{tmp_path / 'outputs' / 'code'}" in shown


def test_what_it_says_of_itself_is_true(wheel: Path) -> None:
    inside = zipfile.ZipFile(wheel)
    (metadata,) = (name for name in inside.namelist() if name.endswith(".dist-info/METADATA"))
    told = email.message_from_bytes(inside.read(metadata))
    assert told["Version"] == __version__
    assert "Apache-2.0" in (told["License"], told["License-Expression"])
    assert told["Requires-Python"] == ">=3.10"
    pythons = [name for name in told.get_all("Classifier") if "Python :: 3." in name]
    assert [name.rpartition(".")[2] for name in pythons] == ["10", "11", "12", "13"]
    assert str(told.get_payload()).startswith("# avatarl")
    licence = metadata.replace("METADATA", "licenses/LICENSE")
    assert inside.read(licence) == (ROOT / "LICENSE").read_bytes()
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert (citation["version"], citation["license"]) == (__version__, "Apache-2.0")
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text()
