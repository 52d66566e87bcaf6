"""The record of jobs that were queued together, as files under the sweep's directory."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

from avatarl.files import read_json


@dataclass(frozen=True)
class Submission:
    """Jobs that were queued together.

    Attributes:
        directory: Packs, submitit's files (0700).
        jobs: Job id of each pack.
        packs: Run ids of each pack.
        code: The frozen source.
    """

    directory: Path
    jobs: tuple[str, ...]
    packs: tuple[tuple[str, ...], ...]
    code: str
    created: float

    @classmethod
    def read(cls, directory: Path) -> Submission:
        """Read ``submission.json``.

        Raises:
            FileNotFoundError: The submission was never completed.
        """
        raw = read_json(directory / "submission.json")
        return cls(
            directory,
            tuple(raw["jobs"]),
            tuple(tuple(runs) for runs in raw["packs"]),
            raw["code"],
            raw["created"],
        )

    def job_of(self, run_id: str) -> str | None:
        """The job whose pack holds the run."""
        for job, runs in zip(self.jobs, self.packs, strict=True):
            if run_id in runs:
                return job
        return None


def submissions(sweep: Path) -> list[Submission]:
    """Completed submissions of a sweep, oldest first."""
    found = []
    for path in sorted(
        (sweep / "slurm").glob("*/submission.json"), key=lambda p: int(p.parent.name)
    ):
        with contextlib.suppress(OSError, ValueError, KeyError):
            found.append(Submission.read(path.parent))
    return found
