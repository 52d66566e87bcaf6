"""A stand-in for the training that does nothing but log, and can be put down; by its settings."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

from avatarl.files import write_json
from avatarl.runs.outputs import Outputs


class Paused(Exception):
    pass


class Interrupted(Exception):
    pass


def folder_of(raw):
    return Outputs(raw["output_dir"]).run(f"{raw['seed']:016x}", raw["name"])


def run(raw, *, stop, on_progress, prepared_corpus, pause_at=None):
    """Log ``values[rung]`` at step 10 * (rung + 1), one step after another."""
    folder, values = folder_of(raw), raw["values"]
    folder.path.mkdir(parents=True, exist_ok=True)
    weights, description = folder.checkpoint(0)
    step = json.loads(description.read_text())["step"] if description.exists() else 0
    if step == 0:
        folder.journal.write_text('{"schema": 1}\n')
    with (Path(raw["output_dir"]) / "trace.jsonl").open("a") as trace:
        trace.write(json.dumps([raw["seed"], step, pause_at, os.getpid(), time.time()]) + "\n")
    while step < 10 * len(values):
        if stop():
            raise Interrupted
        if raw.get("raise_at") == step:
            raise ValueError("this run is no good")
        if raw.get("kill_at") == step and not (folder.path / "killed").exists():
            (folder.path / "killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if raw.get("term_at") == step and not (folder.path / "told").exists():
            (folder.path / "told").touch()
            os.kill(os.getpid(), signal.SIGTERM)
            continue
        time.sleep(raw.get("pause_s", 0))
        step += 10
        record = {"step": step, "dev/nats": values[step // 10 - 1]}
        with folder.journal.open("a") as file:
            file.write(json.dumps(record) + "\n")
        weights.write_text("")
        write_json(description, {"step": step})  # whole or not at all, however it is killed
        if pause_at is not None and step >= pause_at:
            folder.write_paused(step)
            raise Paused
    return dict(
        folder.write_result(
            {
                "val/nats": values[-1] or 0.0,
                "run_id": folder.path.name[-16:],
                **raw.get("result", {}),
            }
        )
    )
