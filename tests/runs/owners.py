"""Owners of runs that are made up: processes that are dead, and their claims."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

from avatarl.runs import liveness


def dead_owner(**changes):
    with subprocess.Popen([sys.executable, "-c", "pass"]) as process:
        process.wait()
    me = dataclasses.replace(liveness.this_process(), pid=process.pid)
    return dataclasses.replace(me, **changes)


def put(directory, owner, number=1):
    claims = directory / ".owners"
    claims.mkdir(parents=True, exist_ok=True)
    (claims / f"{number}.json").write_text(json.dumps(dataclasses.asdict(owner)))
