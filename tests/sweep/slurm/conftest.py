from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

# What stands for SLURM's commands: one program under all their names, which answers from a folder.
# ``room`` holds how many more jobs are taken; ``says`` what sbatch complains of when there is none.
# Each call is noted with its environment in ``calls``.
FAKE = """#!{python}
import json, os, re, sys, time
from pathlib import Path
here = Path({here!r})
name = Path(sys.argv[0]).name
with (here / "calls").open("a") as file:
    file.write(json.dumps([name, sys.argv[1:], dict(os.environ)]) + chr(10))
jobs = here / "jobs"
if name == "sbatch":
    text = Path(sys.argv[1]).read_text()
    array = re.search(r"--array=0-(\\d+)", text)
    count = int(array.group(1)) + 1 if array else 1
    room = int((here / "room").read_text())
    if count > room:
        says = (here / "says").read_text()
        print(says, file=sys.stderr, flush=True)
        if "retrying" in says:
            (here / "sleeps").touch()
            time.sleep(3600)
        sys.exit(1)
    (here / "room").write_text(str(room - count))
    number = len(list(jobs.glob("*"))) + 1
    output = re.search(r"--output='?(.*?)'?$", text, re.M).group(1)
    (jobs / str(number)).write_text(json.dumps([count if array else 0, output]))
    print(f"Submitted batch job {{number}}")
if name == "scancel":
    (here / "cancelled").open("a").write(" ".join(sys.argv[1:]) + chr(10))
if name == "squeue":
    for path in sorted(jobs.glob("*")):
        count, output = json.loads(path.read_text())
        for job in [f"{{path.name}}_{{n}}" for n in range(count)] or [path.name]:
            layout = sys.argv[sys.argv.index("-O") + 1]
            cells = {{"JobArrayID": job, "STDOUT": output, "State": "PENDING", "JobID": path.name}}
            fields = [field.split(":") for field in layout.split(",")]
            print("".join(cells.get(name, "").ljust(int(width)) for name, width in fields))
"""


class Slurm:
    """Recorded replies; see FAKE."""

    def __init__(self, here: Path) -> None:
        self.here = here
        (here / "bin").mkdir(parents=True)
        (here / "jobs").mkdir()
        for name in ("sbatch", "scancel", "scontrol", "squeue", "srun"):
            program = here / "bin" / name
            program.write_text(FAKE.format(python=sys.executable, here=str(here)))
            program.chmod(0o755)
        self.room(1000)
        self.says("sbatch: error: no")

    def room(self, jobs: int) -> None:
        (self.here / "room").write_text(str(jobs))

    def says(self, words: str) -> None:
        (self.here / "says").write_text(words)

    def arrays(self) -> list[int]:
        """How many elements each job that was taken has; 0 for one alone."""
        import json

        paths = sorted((self.here / "jobs").glob("*"), key=lambda path: int(path.name))
        return [json.loads(path.read_text())[0] for path in paths]

    def calls(self, name: str) -> list[tuple[list[str], dict[str, str]]]:
        """Arguments and environment of each call of a command."""
        import json

        lines = (self.here / "calls").read_text().splitlines()
        return [(words, env) for said, words, env in map(json.loads, lines) if said == name]

    def cancelled(self) -> list[str]:
        path = self.here / "cancelled"
        return path.read_text().split() if path.exists() else []


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    made = Slurm(tmp_path / "slurm-commands")
    monkeypatch.setenv("PATH", f"{made.here / 'bin'}{os.pathsep}{os.environ['PATH']}")
    return made
