"""Launches of one sweep, by whichever clients: who is refused takes back his own part alone.

Each launch writes its plan, and how it was started, into a folder of its own,
``.launches/<number>/``; what lies in the sweep's folder are copies of the newest. A launch that is
refused takes its folder away, and what is newest then counts.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from avatarl.files import read_object, write_atomic, write_checked, write_json
from avatarl.runs import liveness
from avatarl.runs.liveness import Owner
from avatarl.runs.outputs import SweepFolder
from avatarl.sweep.plan.planned import Plan
from avatarl.sweep.plan.rollback import Rollback, remove_empty


class LaunchRecord:
    """What one launch of a sweep writes down.

    Args:
        sweep: The sweep's folder.
        rollback: Takes the launch back.

    Raises:
        OSError: The folder can't be written.
    """

    def __init__(self, sweep: Path, rollback: Rollback) -> None:
        self.sweep = SweepFolder(sweep)
        self._names = [self.sweep.plan.name, self.sweep.launch.name, self.sweep.multirun.name]
        rollback.call(lambda: _remove_empty_above(sweep))
        self._adopt()
        self._folder = _next(self.sweep.launches)
        rollback.call(self._withdraw)

    def write_plan(self, plan: Plan, multirun: str = "") -> None:
        """Write the plan down, and what Hydra keeps of the command, if it is told."""
        write_checked(self._folder / self.sweep.plan.name, plan.to_json(self.sweep.path))
        if multirun:
            write_atomic(self._folder / self.sweep.multirun.name, multirun)
            self._publish(self.sweep.multirun.name)
        self._publish(self.sweep.plan.name)

    def write_launch(self, launcher: str, settings: Mapping[str, Any]) -> None:
        """Note how the sweep is started, and by which process."""
        write_json(self._folder / self.sweep.launch.name, description(launcher, settings))
        self._publish(self.sweep.launch.name)

    def settle(self) -> None:
        """Forget what this launch has replaced, but of launches that go on elsewhere."""
        for folder in _folders(self.sweep.launches):
            if int(folder.name) < int(self._folder.name) and _ended(_owner(folder)):
                for name in self._names:
                    if (self._folder / name).exists():
                        with contextlib.suppress(OSError):
                            (folder / name).unlink(missing_ok=True)
                remove_empty(folder)

    def _adopt(self) -> None:
        """Keep what a sweep from before there were records is made of."""
        if self.sweep.launches.exists() or not self.sweep.plan.exists():
            return
        first = self.sweep.launches / "0"
        with contextlib.suppress(FileExistsError):
            first.mkdir(parents=True)
            for name in self._names:
                if (self.sweep.path / name).exists():
                    _copy(self.sweep.path / name, first / name)

    def _withdraw(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        for name in self._names:
            with contextlib.suppress(OSError):
                self._publish(name)
        remove_empty(self.sweep.launches)

    def _publish(self, name: str) -> None:
        """Make the sweep's file of that name the newest launch's."""
        while True:
            newest = self._newest(name)
            if newest is None:
                (self.sweep.path / name).unlink(missing_ok=True)
            else:
                with contextlib.suppress(FileNotFoundError):  # withdrawn this instant
                    _copy(newest, self.sweep.path / name)
            if newest == self._newest(name):  # or another client was at it meanwhile
                return

    def _newest(self, name: str) -> Path | None:
        found = (
            path for folder in _folders(self.sweep.launches) if (path := folder / name).exists()
        )
        return max(found, key=lambda path: int(path.parent.name), default=None)


def description(launcher: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What ``launch.json`` holds: how a sweep was started, by this process."""
    owner = dataclasses.asdict(liveness.this_process())
    return {"schema": 1, "launcher": launcher, "settings": dict(settings), "owner": owner}


def owners(sweep: SweepFolder) -> list[Owner]:
    """The processes that launched a sweep, as far as they may live."""
    known = [_owner(folder) for folder in (sweep.path, *_folders(sweep.launches))]
    distinct = {(owner.host, owner.pid, owner.started): owner for owner in known if owner}
    return list(distinct.values())


def names_text(sweeps: Path, name: str) -> bool:
    """Whether the plan of any sweep names a text that was stored under ``name``."""
    plans = [*sweeps.glob("*/plan.json"), *sweeps.glob("*/.launches/*/plan.json")]
    for plan in plans:
        with contextlib.suppress(FileNotFoundError):
            if name.encode() in plan.read_bytes():
                return True
    return False


def _owner(folder: Path) -> Owner | None:
    with contextlib.suppress(KeyError, ValueError, AttributeError):
        return Owner.from_json(read_object(SweepFolder(folder).launch)["owner"])
    return None


def _ended(owner: Owner | None) -> bool:
    """Whether a launch is this process's own, or nobody sees to it any more."""
    if owner is None or liveness.lives(owner) is False:
        return True
    me = liveness.this_process()
    return (owner.host, owner.pid, owner.started) == (me.host, me.pid, me.started)


def _folders(launches: Path) -> Iterator[Path]:
    return (path for path in launches.glob("*") if path.name.isdigit())


def _next(launches: Path) -> Path:
    while True:
        launches.mkdir(parents=True, exist_ok=True)
        folder = launches / str(max((int(path.name) for path in _folders(launches)), default=0) + 1)
        with contextlib.suppress(FileExistsError, FileNotFoundError):
            folder.mkdir()
            return folder  # else another client was faster, or took the last one away


def _copy(source: Path, target: Path) -> None:
    """Replace ``target`` by ``source`` at once; one file under two names where that is possible."""
    temporary = target.with_name(f".{uuid.uuid4().hex}.part")
    try:
        try:
            os.link(source, temporary)
        except FileNotFoundError:
            raise
        except OSError:
            shutil.copy2(source, temporary)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)  # it stays where both were one file before


def _remove_empty_above(sweep: Path) -> None:
    for folder in (sweep, sweep.parent, sweep.parent.parent):
        remove_empty(folder)
