"""Stand-ins for the training, importable by worker processes; faults are asked for by name."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

from avatarl.files import write_json


class Interrupted(Exception):
    pass


def directory_of(raw):
    return Path(raw["output_dir"]) / raw["test_directory"]


def trace(raw, word):
    """Append one line to a file all attempts of all runs share."""
    line = json.dumps([raw["seed"], word, os.getpid(), time.time()]) + "\n"
    with (Path(raw["output_dir"]) / "trace.jsonl").open("a") as file:
        file.write(line)


def first_time(raw, word):
    try:
        (directory_of(raw) / f"seen-{word}").touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def finish(raw):
    result = {"val/nats": raw["seed"] / 10, "state": "done", "seconds": 0.0, "steps": 1}
    trace(raw, "computed")
    write_json(directory_of(raw) / "result.json", result)
    if raw.get("fault") == "kill when done":
        os.kill(os.getpid(), signal.SIGKILL)
    return result


def no_op(raw, *, stop, on_progress, prepared_corpus):
    write_json(directory_of(raw) / "result.json", {"val/nats": 1.0})
    return {"val/nats": 1.0}


def run(raw, *, stop, on_progress, prepared_corpus):
    """Does what ``raw["fault"]`` says, then finishes."""
    trace(raw, "started")
    fault = raw.get("fault", "")
    directory = directory_of(raw)
    if fault == "raise":
        raise ValueError("this run is no good\nsecond line")
    if fault == "disk" or (fault == "disk once" and first_time(raw, "disk")):
        raise OSError(28, "No space left on device")
    if fault == "memory":
        raise MemoryError(f"no room, attempt {time.time()}")
    if fault == "exit 9":
        os._exit(9)
    if fault == "sys.exit":
        sys.exit(9)
    if fault == "kill" or (fault == "kill once" and first_time(raw, "kill")):
        os.kill(os.getpid(), signal.SIGKILL)
    if fault == "hang" or (fault == "hang once" and first_time(raw, "hang")):
        time.sleep(3600)
    steps = raw.get("steps", 1)
    state = directory / "checkpoint-step"
    step = int(state.read_text()) if state.exists() else 0
    while step < steps:
        if stop():
            state.write_text(str(step))
            write_json(directory / "progress.json", {"state": "interrupted", "step": step})
            trace(raw, "interrupted")
            raise Interrupted()
        time.sleep(0.02)
        step += 1
        write_json(directory / "progress.json", {"state": "running", "step": step, "steps": steps})
    return finish(raw)


def threads(raw, *, stop, on_progress, prepared_corpus):
    write_json(directory_of(raw) / "result.json", {"val/nats": 0.0})
    names = ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES")
    return {"val/nats": 0.0, "environment": {name: os.environ.get(name) for name in names}}
