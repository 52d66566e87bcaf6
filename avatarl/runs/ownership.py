"""Who is computing a run: ownership of a run's folder, given to exactly one process at a time.

A run's folder holds a chain of numbered claims, ``.owners/1.json``, ``.owners/2.json`` … The one
with the highest number is the current owner. A claim is made by creating the next number, which
the file system lets exactly one process do (a hard link to a complete file, so that no reader ever
sees half a claim). The next number may be created only when the current owner has released its
claim or provably no longer lives (:mod:`avatarl.runs.liveness`). ``owner.json`` is a copy of the
current claim for people.
"""

from __future__ import annotations

import contextlib
import json
import socket
import time
from dataclasses import asdict, replace
from pathlib import Path

from avatarl import storage
from avatarl.files import (
    create_exclusively,
    if_supported,
    read_json,
    replace_quickly,
    sweep_temporaries,
)
from avatarl.process import consumed
from avatarl.runs import liveness
from avatarl.runs.folder import RunFolder
from avatarl.runs.liveness import Owner, SlurmLiveness

#: Seconds a claim may stay unreadable (written without hard links, cut off by a crash).
_HALF_WRITTEN_AFTER_S = 30.0


class ClaimLost(Exception):
    """Another process has taken the run over; nothing more of this attempt is written."""

    def __init__(self, path: Path, number: int) -> None:
        self.path, self.number = path, number
        super().__init__(f"{path} was taken over by another process")

    def __reduce__(self) -> tuple[type[ClaimLost], tuple[Path, int]]:
        return type(self), (self.path, self.number)


class Claim:
    """The calling process owns a run's folder until :meth:`release`, or until it is taken over.

    Attributes:
        folder: The folder; what is written through it is stamped with the claim, and refused
            once the claim is lost.
        number: Of the claim in the folder's chain.
        owner: Who made it.
    """

    def __init__(self, path: Path, number: int, owner: Owner) -> None:
        self.folder = RunFolder(path, self.check)
        self.number, self.owner = number, owner
        self._looked = time.monotonic()

    def check(self) -> int:
        """Return the claim's number.

        Raises:
            ClaimLost: A newer claim was made: this process was taken for dead.
        """
        self._looked = time.monotonic()
        if not storage.persist(self._holds):
            raise ClaimLost(self.folder.path, self.number)
        return self.number

    def _holds(self) -> bool:
        """Whether the newest claim is this one, and not another of its number."""
        numbers = self.folder.claim_numbers()
        if not numbers:  # nobody has taken it over: it can't be seen
            raise storage.gone(self.folder.claims)
        if max(numbers) != self.number:
            return False
        written = _read(self.folder.claim_file(self.number))
        return written is None or written.same_as(self.owner)

    def _is_written(self) -> bool:
        written = _read(self.folder.claim_file(self.number))
        return written is not None and written.same_as(self.owner)

    def check_now_and_then(self) -> None:
        """Do the same, at most once a second."""
        if time.monotonic() - self._looked >= 1.0:
            self.check()

    def begin(self, step: int) -> None:
        """Note from which step this attempt goes on.

        Later checkpoints by earlier claims are those of a process that had lost the run.
        """
        self.check()
        self.owner = replace(self.owner, resumed_from=step)
        replace_quickly(self.folder.claim_file(self.number), json.dumps(asdict(self.owner)) + "\n")

    def release(self, outcome: str, reason: str | None = None) -> None:
        """Give the folder back, saying how the attempt ended."""
        _offered.pop(self.folder.path, None)
        with contextlib.suppress(OSError):
            if not storage.persist(self._holds):
                if outcome == "done":
                    outcome, reason = "lost", "taken over by another process"
                if not self._is_written():
                    return  # its number is another's now
        cpu_s, peak_bytes = consumed()
        me = replace(self.owner, cpu_s=cpu_s, peak_bytes=peak_bytes)
        release(self.folder, self.number, me, outcome, reason)


# Claims of this process that whoever trains the run in it may take.
_offered: dict[Path, Claim] = {}


def offer(claim: Claim) -> Claim:
    """Let whoever trains the run in this process do so under this claim."""
    _offered[claim.folder.path] = claim
    return claim


def offered(folder: RunFolder) -> Claim | None:
    """Take the claim that was made for the caller, if one was."""
    return _offered.pop(folder.path, None)


def is_offered(folder: RunFolder) -> bool:
    """Whether a claim of this process waits to be taken."""
    return folder.path in _offered


def superseded(folder: RunFolder, number: object, step: int) -> bool:
    """Whether what was written at ``step`` under a claim came after a later claim had begun."""
    if not isinstance(number, int):
        return False
    later = (_read(folder.claim_file(n)) for n in folder.claim_numbers() if n > number)
    began = [owner.resumed_from for owner in later if owner and owner.resumed_from is not None]
    return any(step > start for start in began)


class Owned(Exception):
    """Another living process owns the run."""

    def __init__(self, owner: Owner) -> None:
        self.owner = owner
        where = f"job {owner.slurm.id} on {owner.host}" if owner.slurm else owner.host
        super().__init__(f"being computed by process {owner.pid} ({where})")

    def __reduce__(self) -> tuple[type[Owned], tuple[Owner]]:
        return type(self), (self.owner,)


def claim(folder: RunFolder, me: Owner | None = None, slurm: SlurmLiveness | None = None) -> Claim:
    """Become the owner of ``folder``.

    Raises:
        Owned: A living process owns it, or won the race for it.
        OSError: The folder can't be written.
    """
    me = me or liveness.this_process()
    claims = folder.claims
    claims.mkdir(parents=True, exist_ok=True, mode=0o755)
    mode = folder.path.stat().st_mode
    if mode & 0o002:  # nobody else gets to write the record of who owns what
        if_supported("permissions of folders", lambda: folder.path.chmod(mode & 0o7775))
    while True:
        number, current = _latest(folder)
        if current is not None and liveness.alive(current, folder, slurm):
            raise Owned(current)
        if number and current is None and _age(folder.claim_file(number)) < _HALF_WRITTEN_AFTER_S:
            time.sleep(0.05)  # half a claim: its writer may be between two system calls
            continue
        if create_exclusively(folder.claim_file(number + 1), json.dumps(asdict(me)) + "\n"):
            written = _read(folder.claim_file(number + 1))
            if written is not None and not written.same_as(me):
                continue  # a file system that let two make it: the later content counts
            taken = Claim(folder.path, number + 1, me)
            _publish(folder, me)
            for place in (folder.path, claims):
                sweep_temporaries(place)
            return taken
        # Someone was faster: look at who it is.


def current_owner(folder: RunFolder) -> Owner | None:
    """The owner of the highest claim, released or not; ``None`` when nobody ever claimed."""
    return _latest(folder)[1]


def history(folder: RunFolder) -> list[Owner]:
    """All claims of ``folder`` that can be read, oldest first."""
    found = [_read(folder.claim_file(number)) for number in sorted(folder.claim_numbers())]
    return [owner for owner in found if owner is not None]


def owner_of(folder: RunFolder, number: object) -> Owner | None:
    """Who made a claim; ``None`` if there is none of that number, or it can't be read."""
    return _read(folder.claim_file(number)) if isinstance(number, int) else None


def release(
    folder: RunFolder, number: int, owner: Owner, outcome: str, reason: str | None = None
) -> None:
    """Mark claim ``number`` as given back; only its owner, or the parent of its owner, may."""
    done = replace(owner, released=time.time(), outcome=outcome, reason=reason)
    try:
        replace_quickly(folder.claim_file(number), json.dumps(asdict(done)) + "\n")
        if max(folder.claim_numbers(), default=0) == number:
            _publish(folder, done)
    except OSError:
        # A full disk can't take the outcome, but it lets a file go: the run must not stay owned.
        with contextlib.suppress(OSError):
            folder.claim_file(number).unlink(missing_ok=True)


def release_dead(folder: RunFolder, pid: int, outcome: str, reason: str) -> None:
    """Release the claim that worker ``pid`` of this host, now dead, left behind (if any).

    If it had come as far as its result, the attempt is done, whatever it died of afterwards.
    """
    number, owner = _latest(folder)
    mine = owner is not None and owner.pid == pid and owner.host == socket.gethostname()
    if owner is not None and mine and not liveness.alive(owner, folder):
        ended = ("done", None) if folder.read_result(strict=True) else (outcome, reason)
        release(folder, number, owner, *ended)


def close_done(folder: RunFolder) -> None:
    """Release, as done, what the dead owner of a run that is done left open.

    It was killed between its result and saying so, together with whoever would have said it.
    """
    with contextlib.suppress(OSError):
        number, owner = _latest(folder)
        if owner is not None and owner.released is None and not liveness.alive(owner, folder):
            release(folder, number, owner, "done")


def _publish(folder: RunFolder, owner: Owner) -> None:
    # Without waiting for the disk: no owner outlives a crash of its machine anyway.
    replace_quickly(folder.owner, json.dumps(asdict(owner), indent=2) + "\n")


def _latest(folder: RunFolder) -> tuple[int, Owner | None]:
    number = max(folder.claim_numbers(), default=0)
    return number, _read(folder.claim_file(number)) if number else None


def _read(path: Path) -> Owner | None:
    try:
        return Owner.from_json(read_json(path))
    except (OSError, ValueError) as error:
        if storage.passes(error):  # not to be seen is another thing than not to be there
            raise
        return None


def _age(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return 0.0
