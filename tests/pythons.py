"""The quick tests on each Python that the metadata names, where it is here (``make test-pythons``).

Each has an environment of its own, ``build/python3.X``. With ``--without-torch``, for where only
builds with gigabytes of GPU libraries are to be had, all of the source is compiled and what needs
no torch is tested.
"""

from __future__ import annotations

import argparse
import configparser
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ("avatarl", "hydra_plugins", "benchmarks", "tests", "run.py")
QUICK = "not slurm and not slow and not browser and not gpu and not hostile"
#: Tests that start no process which would need torch.
ALONE = [
    *("config", "report", "runs", "search/test_rules.py", "search/test_proposals.py"),
    *("test_files.py", "test_run_help.py", "test_signals.py", "test_text.py"),
]


def main() -> int:
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    named = [line.rpartition(" ")[2] for line in settings["metadata"]["classifiers"].splitlines()]
    versions = [word for word in named if word.startswith("3.")]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("versions", nargs="*", default=versions)
    parser.add_argument("--without-torch", action="store_true")
    args = parser.parse_args()
    needed = settings["options"]["install_requires"] + settings["options.extras_require"]["dev"]
    packages = [word for word in needed.split() if not (args.without_torch and "torch" in word)]
    passed = {version: tried(version, packages, args.without_torch) for version in args.versions}
    for version, one in passed.items():
        told = {True: "passed", False: "FAILED", None: "not on this machine"}[one]
        print(f"Python {version}: {told}")
    return int(False in passed.values())


def tried(version: str, packages: list[str], without_torch: bool) -> bool | None:
    """Whether the tests pass on a Python; None where there is none."""
    base = interpreter(version)
    if base is None:
        return None
    python = ROOT / "build" / f"python{version}" / "bin" / "python"
    if not python.exists():
        subprocess.run([base, "-m", "venv", python.parents[1]], check=True)
    subprocess.run([python, "-m", "pip", "install", "-q", *packages], check=True)
    tests = ["-m", QUICK]
    if without_torch:
        tests += ["-p", "tests.without_torch", *(str(ROOT / "tests" / name) for name in ALONE)]
    return all(
        subprocess.run(
            [python, "-m", *words],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            check=False,
        ).returncode
        == 0
        for words in (["compileall", "-q", *SOURCE], ["pytest", "-q", *tests])
    )


def interpreter(version: str) -> str | None:
    """A Python of that version: on the path, or pyenv's newest."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    others = sorted(pyenv.glob(f"{version}.*/bin/python"), key=os.path.getmtime)
    return shutil.which(f"python{version}") or (str(others[-1]) if others else None)


if __name__ == "__main__":
    sys.exit(main())
