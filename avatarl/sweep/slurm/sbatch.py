"""One call of sbatch: the job's number, or why there is none, told at once."""

from __future__ import annotations

import contextlib
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

from avatarl.errors import UserError
from avatarl.runs import slurm_jobs

#: SLURM takes no more jobs for now: sbatch itself would try again, for minutes and in silence, or
#: names a limit on how many jobs may be queued.
_LIMIT = re.compile(
    r"sleeping and retrying|temporarily disabled|temporarily unable|queue full|"
    r"resource temporarily unavailable|submit\w*limit|maxjobcount",
    re.IGNORECASE,
)
#: It may be a limit on how many jobs may be queued, or one on what a job may ask for.
_MAYBE = re.compile(r"job submit limit", re.IGNORECASE)


#: Seconds that sbatch gets to end by itself once nobody wants its answer any more.
_LAST_WORD_S = 5.0


class Refused(UserError):
    """SLURM didn't take a job.

    Attributes:
        full: It takes no more for now, and may take it, or fewer, later.
        maybe: It may take fewer: it doesn't say which limit it is.
    """

    def __init__(self, complaint: str, full: bool = False, maybe: bool = False) -> None:
        self.complaint, self.full, self.maybe = complaint, full, maybe
        super().__init__(f"SLURM refused the jobs: {complaint}")

    def __reduce__(self) -> tuple[type[Refused], tuple[str, bool, bool]]:
        return type(self), (self.complaint, self.full, self.maybe)


def sbatch(script: Path, settled: Iterable[str] = ()) -> str:
    """Queue a script.

    Args:
        script: The file.
        settled: Which of ``account``, ``partition`` and the like it says itself.

    Returns:
        The job's number.

    Raises:
        Refused: It wasn't taken; at once where sbatch would wait for room.
    """
    environment = slurm_jobs.environment(settled=settled)
    lines: list[str] = []
    pipe = subprocess.PIPE
    try:
        process = subprocess.Popen(
            ["sbatch", str(script)],
            stdout=pipe,
            stderr=pipe,
            text=True,
            errors="replace",
            env=environment,
        )
    except OSError as error:
        raise Refused(f"sbatch can't be started: {error.strerror}") from error
    with process:
        try:
            assert process.stdout is not None and process.stderr is not None
            for line in process.stderr:
                lines.append(line.strip())
                if "retrying" in line:  # now it sleeps, and can be ended without any doubt
                    process.kill()
            told = process.stdout.read()
        except BaseException:
            # What it has asked for is better known before it is taken back.
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_LAST_WORD_S)
            process.kill()
            raise
    number = re.search(r"job (\d+)", told)
    if process.returncode == 0 and number is not None:
        return number.group(1)
    text = "\n".join(lines)
    spoken = [line for line in lines if line.startswith("sbatch: ")] or lines or [told.strip()]
    limits = [line for line in spoken if _LIMIT.search(line)]
    complaint = (limits or spoken)[-1].removeprefix("sbatch: ").removeprefix("error: ")
    raise Refused(complaint or "sbatch says nothing", bool(limits), bool(_MAYBE.search(text)))
