"""The real training, slowed down to be interrupted, with faults by seed (AVATARL_TEST_FAULTS)."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import time
from pathlib import Path

#: Seconds added to each step.
PAUSE_S = float(os.environ.get("AVATARL_TEST_PAUSE_S", "0.03"))


def run(raw, *, stop, on_progress, prepared_corpus, **further):
    from avatarl.training import execute_raw

    fault = json.loads(os.environ.get("AVATARL_TEST_FAULTS", "{}")).get(str(raw["seed"]), "")
    if raw["name"] == "control":
        fault = ""
    marks = Path(raw["output_dir"]) / "marks"
    marks.mkdir(exist_ok=True)
    with (marks / "started").open("a") as file:
        file.write(f"{raw['name']} {raw['seed']} {os.getpid()}\n")
    count = 0

    def first_time():
        try:
            (marks / f"{raw['seed']}-{fault.replace(' ', '-')}").touch(exist_ok=False)
        except FileExistsError:
            return False
        return True

    def paused():
        nonlocal count
        count += 1
        time.sleep(PAUSE_S)
        if count == 40:
            act()
        return stop()

    def act():
        if fault == "raise":
            raise ValueError("this run is no good")
        if fault == "exit 9":
            os._exit(9)
        if fault == "hang once" and first_time():
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGUSR2})
            time.sleep(3600)
        if fault == "kill once" and first_time():
            os.kill(os.getpid(), signal.SIGKILL)
        if fault == "memory":
            _, hard = resource.getrlimit(resource.RLIMIT_AS)
            resource.setrlimit(resource.RLIMIT_AS, (4 << 30, hard))
            try:
                torch.zeros(1 << 33)
            finally:
                resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, hard))
        if fault == "nan":
            torch.autograd.grad = _poisoned(torch.autograd.grad)
        if fault == "disk" or (fault == "disk once" and first_time()):
            os.fsync = _full(os.fsync, once=fault == "disk once")

    import torch

    grad, fsync = torch.autograd.grad, os.fsync
    try:
        return execute_raw(
            raw, stop=paused, on_progress=on_progress, prepared_corpus=prepared_corpus, **further
        )
    finally:
        torch.autograd.grad, os.fsync = grad, fsync  # the process stays warm for the next run


def _full(fsync, *, once):
    def full(descriptor):
        # A disk that fills up shows when data is flushed; once: someone makes room at once.
        if once:
            os.fsync = fsync
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    return full


def _poisoned(grad):
    def poisoned(loss, *arguments, **keywords):
        return grad(loss * float("nan"), *arguments, **keywords)

    return poisoned
