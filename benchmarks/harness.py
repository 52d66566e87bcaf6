"""What every benchmark shares: options, fair timing, one line an entry.

Candidates are timed in turns within one process, so that whatever else the machine does hits them
alike; what is claimed are ratios between turns of one round, their median with least and most.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Options:
    """How thorough, and how to tell.

    Attributes:
        quick: At most 40 seconds on two cores.
        as_json: One JSON line an entry instead of a table.
        threads: CPU threads of this process.
        picture: Where figures go, or None.
    """

    quick: bool
    as_json: bool
    threads: int
    picture: Path | None


@dataclass(frozen=True)
class Entry:
    """One figure.

    Attributes:
        name: ``benchmark/what/on what``.
        value: Median.
        unit: ``x`` for ratios.
        low: Least of the repetitions.
        high: Most.
        target: Bound on ``value``; None where nothing was promised.
        at_least: The bound is a lower one.
        note: What to know about it.
    """

    name: str
    value: float
    unit: str
    low: float
    high: float
    target: float | None = None
    at_least: bool = False
    note: str = ""

    @property
    def ok(self) -> bool | None:
        """Whether the target is met; None without one."""
        if self.target is None:
            return None
        return self.value >= self.target if self.at_least else self.value <= self.target


def entry(
    name: str,
    values: Iterable[float],
    unit: str,
    target: float | None = None,
    *,
    at_least: bool = False,
    note: str = "",
) -> Entry:
    """Summarise repetitions by their median, least and most."""
    known = list(values)
    median = statistics.median(known)
    return Entry(name, median, unit, min(known), max(known), target, at_least, note)


def in_turns(
    candidates: Mapping[str, Callable[[], object]], rounds: int, warmup: int = 1
) -> dict[str, list[float]]:
    """Time candidates in turns.

    Args:
        candidates: What to call.
        rounds: How often each is timed; the order turns round from one round to the next.
        warmup: Calls of each that don't count.

    Returns:
        Seconds of each call, round by round.
    """
    for call in candidates.values():
        for _ in range(warmup):
            call()
    names = list(candidates)
    taken: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        for name in names if number % 2 == 0 else names[::-1]:
            taken[name].append(seconds(candidates[name]))
    return taken


def seconds(call: Callable[[], object]) -> float:
    """Time one call.

    Where no GPU is in use this is processor time of this process: on a machine that others use
    too, wall time measures them.
    """
    torch = sys.modules.get("torch")
    cuda: Any = None if torch is None else torch.cuda
    on_gpu = cuda is not None and cuda.is_available() and cuda.is_initialized()
    clock = time.perf_counter if on_gpu else time.process_time
    if on_gpu:
        cuda.synchronize()
    before = clock()
    call()
    if on_gpu:
        cuda.synchronize()
    return clock() - before


def ratios(taken: Mapping[str, Sequence[float]], of: str, to: str) -> list[float]:
    """Divide the times of one candidate by another's, round by round."""
    return [one / other for one, other in zip(taken[of], taken[to], strict=True)]


def machine(threads: int) -> dict[str, Any]:
    """Describe where and on which commit this was measured."""
    described: dict[str, Any] = {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": threads,
        "python": platform.python_version(),
        "commit": _commit(),
    }
    torch = sys.modules.get("torch")
    if torch is not None:
        described["torch"] = torch.__version__
        if torch.cuda.is_available():
            described["gpu"] = torch.cuda.get_device_name()
    return described


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _commit() -> str:
    asked = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return asked.stdout.strip()


def main(
    description: str | None,
    measure: Callable[[Options], Iterator[Entry]],
    *,
    uses_torch: bool = True,
) -> int:
    """Parse the common options, measure, print.

    Args:
        description: First line of the script's docstring is shown in its help.
        measure: Yields entries as they are known.
        uses_torch: Limit torch's threads before anything is measured.

    Returns:
        0; a missed target is told, not punished: it may be the machine's.
    """
    parser = argparse.ArgumentParser(description=(description or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="at most 40 s on two cores")
    parser.add_argument("--json", action="store_true", help="one JSON line an entry")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default 1)")
    parser.add_argument("--picture", type=Path, default=None, help="folder for figures")
    asked = parser.parse_args()
    if asked.picture is not None and asked.picture.is_file():
        parser.error(f"--picture {asked.picture}: a file; valid: a folder")
    if uses_torch:
        import torch

        torch.set_num_threads(asked.threads)
    options = Options(asked.quick, asked.json, asked.threads, asked.picture)
    where = machine(asked.threads)
    if not options.as_json:
        print("  ".join(f"{key} {value}" for key, value in where.items()))
    for found in measure(options):
        print(as_json(found, where) if options.as_json else as_text(found), flush=True)
    return 0


def as_json(found: Entry, where: Mapping[str, Any]) -> str:
    """Put an entry, with the machine it was measured on, on one line."""
    content: dict[str, Any] = {
        "name": found.name,
        "value": round(found.value, 6),
        "unit": found.unit,
        "min": round(found.low, 6),
        "max": round(found.high, 6),
        "target": None if found.target is None else f"{_bound(found)} {found.target:g}",
        "ok": found.ok,
    }
    if found.note:
        content["note"] = found.note
    return json.dumps(content | {"machine": dict(where)})


def as_text(found: Entry) -> str:
    """Put an entry into a row of a table."""
    told = f"{found.name:48} {found.value:10.4g} {found.unit:6} ({found.low:.4g}–{found.high:.4g})"
    if found.target is not None:
        told += f"  target {_bound(found)} {found.target:g}: {'ok' if found.ok else 'MISSED'}"
    return told + (f"  [{found.note}]" if found.note else "")


def _bound(found: Entry) -> str:
    return ">=" if found.at_least else "<="


def text_overrides() -> list[str]:
    """Choose the text: the real one where $AVATARL_DATA_DIR has it, else the generated one."""
    folder = os.environ.get("AVATARL_DATA_DIR")
    if folder and (Path(folder) / "tinyshakespeare.txt").is_file():
        return [f"data.path={Path(folder) / 'tinyshakespeare.txt'}"]
    return ["data=folio"]


def learner(*overrides: str, device: str = "cpu") -> Any:
    """Make a learner as ``python run.py OVERRIDES`` would have it, without a run around it."""
    import torch

    from avatarl.composition import compose
    from avatarl.data import load
    from avatarl.training.learner import Learner

    chosen = any(override.startswith("data") for override in overrides)
    text = [] if chosen else text_overrides()
    config = compose(["tracking=files", *text, *overrides])
    return Learner(config, load(config.data), torch.device(device))


def bare_step(subject: Any) -> Callable[[], None]:
    """Plain next-character training of a learner's own network, optimiser and batches.

    What anybody would write: windows, forward, cross-entropy, backward, clip, update. Shares
    nothing with the step it is compared with but the network and the optimiser. Where that step is
    compiled and recorded, so is this one.
    """
    import torch
    from torch.nn import functional as F

    from avatarl.training.cuda_graph import GraphRecorder

    batches, length = subject.batches, subject.config.model.context_length
    ids, last = batches.ids, batches.last
    weights = list(subject.parameters.values())
    span = torch.arange(length + 1, device=ids.device)
    clip = subject.config.optimizer.grad_clip
    precision = subject.config.trainer.precision == "bf16"
    starts = torch.zeros(subject.config.trainer.batch_size, dtype=torch.int64, device=ids.device)
    step = 0

    def loss_of(text: Any) -> Any:
        target = text[:, length:] if last else text[:, 1:]
        with torch.autocast(ids.device.type, dtype=torch.bfloat16, enabled=precision):
            logits = subject.model(text[:, :length], last=last)
        return F.cross_entropy(logits.float().flatten(0, 1), target.flatten())

    if subject.mode.step:
        loss_of = torch.compile(loss_of, fullgraph=True, dynamic=False)
    recorder = GraphRecorder() if subject.mode.recorded else None

    def learn() -> dict[str, Any]:
        loss = loss_of(ids[starts.unsqueeze(-1) + span])
        for weight, gradient in zip(weights, torch.autograd.grad(loss, weights), strict=True):
            weight.grad = gradient.contiguous()
        norm = torch.nn.utils.clip_grad_norm_(weights, clip)
        for optimizer in subject.state.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        return {"grad_norm": norm}

    def run() -> None:
        nonlocal step
        chosen = torch.from_numpy(batches.windows.starts(step))
        starts.copy_(chosen.pin_memory() if ids.is_cuda else chosen, non_blocking=True)
        if recorder is None:
            learn()
        else:
            recorder(learn, None)
        step += 1

    return run
