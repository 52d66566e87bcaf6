"""The output directory: where runs, sweeps, frozen sources and texts lie, and which run is where.

A run is known by its id alone. Its folder is called ``<name>-<id>`` when it is made, but that may
be another name than the one asked for: the same run was computed by hand under its own name before
it became the control of a sweep, or its folder was renamed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from avatarl.files import create_exclusively, read_object
from avatarl.runs.folder import RunFolder
from avatarl.runs.identity import run_ids
from avatarl.runs.journal import read_header

_ENDS_IN_ID = re.compile(r"-([0-9a-f]{16})$")
#: Which folder a run's id belongs to, decided before it is made; one file an id.
_REGISTRY = ".ids"

# Of each folder of runs: when it last changed, and the names of the folders of each id.
_indexes: dict[Path, tuple[int, dict[str, list[str]]]] = {}


class Outputs:
    """An output directory.

    Attributes:
        root: The directory itself; it need not exist.
        runs: One folder a run.
        sweeps: One folder a sweep.
        code: Frozen sources, each under the hash of its content.
        corpora: Texts, each under its hash.
        reproductions: Runs computed again to be compared.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        self.runs = self.root / "runs"
        self.sweeps = self.root / "sweeps"
        self.code = self.root / "code"
        self.corpora = self.root / "corpora"
        self.reproductions = self.root / "reproductions"

    def run_folders(self) -> list[RunFolder]:
        """Every folder of a run, by name."""
        names = sorted(name for names in self._index().values() for name in names)
        return [RunFolder(self.runs / name) for name in names]

    def find_run(self, run_id: str) -> RunFolder | None:
        """Return the folder of a run, whatever it is called; None where there is none.

        Of several (a folder was copied) the one with a result counts, then the first by name.
        """
        folders = [RunFolder(self.runs / name) for name in self._index().get(run_id, ())]
        if len(folders) > 1:
            folders = [folder for folder in folders if folder.result.exists()] or folders
        return next(iter(folders), None)

    def here(self, recorded: str | None) -> Path | None:
        """Return where something kept under its own name is by now: a text, a frozen source.

        Args:
            recorded: Where it was when it was written down; what was moved with this output
                directory is found in it.
        """
        if recorded is None:
            return None
        was = Path(recorded)
        inside = self.root / was.parent.name / was.name
        return inside if inside.exists() else was

    def identify(self, raw: Mapping[str, Any], corpus_sha256: str) -> str:
        """Return a run's id: an earlier schema's, where the run is here under that one."""
        newest, *earlier = run_ids(raw, corpus_sha256)
        if self.find_run(newest) is None:
            return next((old for old in earlier if self.find_run(old) is not None), newest)
        return newest

    def run(self, run_id: str, name: str) -> RunFolder:
        """Return where a run is, or where it would be made."""
        return self.find_run(run_id) or RunFolder(self.runs / f"{name}-{run_id}")

    def make_run(self, run_id: str, name: str) -> RunFolder:
        """Return where a run is, making its folder if there is none.

        Two processes that ask for one run under two names at once get the same folder.

        Raises:
            OSError: The folder can't be made.
        """
        _indexes.pop(self.runs, None)  # another process may have made it this instant
        found = self.find_run(run_id)
        if found is not None:
            return found
        registry = self.root / _REGISTRY
        registry.mkdir(parents=True, exist_ok=True)
        create_exclusively(registry / run_id, f"{name}-{run_id}")
        decided = (registry / run_id).read_text(encoding="utf-8").strip()
        folder = self.runs / (decided if decided.endswith(f"-{run_id}") else f"{name}-{run_id}")
        folder.mkdir(parents=True, exist_ok=True)
        return RunFolder(folder)

    def _index(self) -> dict[str, list[str]]:
        """Names of folders by run id, read again whenever a folder has come or gone."""
        try:
            changed = self.runs.stat().st_mtime_ns
            known = _indexes.get(self.runs)
            if known is not None and known[0] == changed:
                return known[1]
            names = sorted(entry.name for entry in os.scandir(self.runs) if entry.is_dir())
        except (FileNotFoundError, NotADirectoryError):
            return {}
        index: dict[str, list[str]] = {}
        for name in names:
            if not name.startswith("."):
                index.setdefault(self._id_of(name), []).append(name)
        _indexes[self.runs] = changed, index
        return index

    def _id_of(self, name: str) -> str:
        ending = _ENDS_IN_ID.search(name)
        if ending:
            return ending.group(1)
        # Renamed by hand: its files know.
        folder = RunFolder(self.runs / name)
        known = read_header(folder.journal).get("run_id") or read_object(folder.result).get(
            "run_id"
        )
        return str(known or name)


class SweepFolder:
    """A sweep's folder.

    Attributes:
        path: The folder itself.
        plan: Every run of the sweep; its presence makes the folder a sweep's.
        launch: How the sweep was started last, and by which process.
        launches: One numbered folder a launch, with files as above; those are copies of its.
        slurm: What was queued, a numbered folder a submission.
        multirun: What Hydra keeps of the command.
        ledger: What a study across its runs has decided, one numbered file an entry.
        decisions: The same, one JSON object a line.
        space: What a search proposes from.
        optuna: A view of it in Optuna's words.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.plan = path / "plan.json"
        self.launch = path / "launch.json"
        self.launches = path / ".launches"
        self.slurm = path / "slurm"
        self.multirun = path / "multirun.yaml"
        self.ledger = path / ".decisions"
        self.decisions = path / "decisions.jsonl"
        self.space = path / "space.json"
        self.optuna = path / "optuna.log"

    def comparison(self, ending: str) -> Path:
        """Where the closing table or picture is: ``txt``, ``csv`` or ``png``."""
        return self.path / f"comparison.{ending}"

    def outputs(self, recorded: str | None = None, first_written: str | None = None) -> Outputs:
        """Return the output directory that the sweep's runs are in, also after it was moved.

        Args:
            recorded: The way there from the sweep's folder, as its plan says.
            first_written: Where it was when the plan was made, absolute.
        """
        places = []
        if recorded is not None:
            places.append(self.path / recorded)
        elif self.path.absolute().parent.name == "sweeps":
            places.append(self.path.absolute().parent.parent)
        if first_written is not None:
            places.append(Path(first_written))
        places = [place.resolve() for place in places] or [self.path.absolute()]
        there = (place for place in places if (place / "runs").is_dir())
        return Outputs(next(there, places[0]))
