"""Where the time of a run's steps goes: a table by operation, and a trace to look at.

``make profile RUN="model=gpt2_20m trainer.batch_size=64"`` profiles other settings.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from harness import learner


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("overrides", nargs="*", help="as for run.py")
    parser.add_argument("--steps", type=int, default=10, help="steps to profile")
    parser.add_argument("--rows", type=int, default=25, help="operations to list")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--trace", type=Path, default=Path("outputs/profile.json"))
    asked = parser.parse_args()
    subject = learner(*asked.overrides, device=asked.device)
    for _ in range(3):
        subject.train_step(with_facts=True)
    activities = [torch.profiler.ProfilerActivity.CPU]
    if asked.device != "cpu":
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    with torch.profiler.profile(activities=activities) as profiled:
        for _ in range(asked.steps):
            subject.train_step(with_facts=False)
    by = "self_cpu_time_total" if asked.device == "cpu" else "self_device_time_total"
    print(profiled.key_averages().table(sort_by=by, row_limit=asked.rows))
    asked.trace.parent.mkdir(parents=True, exist_ok=True)
    profiled.export_chrome_trace(str(asked.trace))
    print(f"trace: {asked.trace} (for chrome://tracing or ui.perfetto.dev)")


if __name__ == "__main__":
    main()
