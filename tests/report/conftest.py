"""Run directories as training leaves them, written without training."""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avatarl.runs.folder import RunFolder

LEVELS = {
    "unigram": (3.347, 0.149),
    "bigram": (2.482, 0.270),
    "trigram": (2.068, 0.381),
    "ngram4": (1.953, 0.469),
}
CORPUS = {"name": "tinyshakespeare", "sha256": "86c4e6aa" + "0" * 56, "fallback_reason": None}
OTHER_CORPUS = {"name": "folio", "sha256": "f0110" + "0" * 59, "fallback_reason": "no network"}


def config(
    reference: str = "ngram4",
    weight: float = 0.5,
    seed: int = 0,
    objective: str = "grpo",
    **extra: Any,
) -> dict[str, Any]:
    order = {"none": 0, "unigram": 1, "bigram": 2, "trigram": 3, "ngram4": 4}[reference]
    raw: dict[str, Any] = {
        "name": "control" if objective == "cross_entropy" else "avatarl",
        "seed": seed,
        "data": {"name": "tinyshakespeare", "path": None, "fallback": "folio"},
        "model": {"name": "gpt2_small", "n_layer": 3, "n_embd": 128, "context_length": 8},
        "reference": {"name": reference, "kind": "add_alpha", "order": order, "alpha": 1.0},
        "explorer": {"name": "exhaustive", "positions": "all"},
        "reward": {"name": "confidence_scaled", "confidence_weight": weight},
        "objective": {"name": objective, "clip_coef": 0.5, "kl_coef": 0.3},
        "optimizer": {"name": "adamw", "lr": 0.003, "betas": [0.9, 0.95]},
        "trainer": {"name": "default", "steps": 400, "device": "cpu"},
        "health": {"calibration_error": 0.05, "collapse_gap": 0.05, "clip_fraction": 0.3},
        "tracking": {"name": "none"},
        "output_dir": "outputs",
    }
    for key, value in extra.items():
        group, _, name = key.partition("__")
        if name:
            raw[group][name] = value
        else:
            raw[group] = value
    return raw


#: What the runs of a search come to.
FINALS = [2.4, 2.0, 2.2]
PLACE = ("step", "characters_seen", "epoch", "time/elapsed_s")


@dataclass
class Outputs:
    """Writes runs and sweeps below ``root``."""

    root: Path
    steps: int = 400
    eval_every: int = 20
    planned: list[dict[str, Any]] = field(default_factory=list)

    def run(
        self,
        raw: dict[str, Any],
        *,
        final: float = 1.9,
        state: str = "done",
        track: str = "label_revealing",
        corpus: dict[str, Any] = CORPUS,
        code: str = "c0de" + "0" * 60,
        share: float = 0.45,
        error: str = "RuntimeError: loss is nan",
        alarms: tuple[str, ...] = (),
        schema: int | None = 1,
        sample: str = "ROMEO:\nWhat light is this?",
        plan: bool = True,
    ) -> Path:
        identity = f"{abs(hash(json.dumps([raw, corpus['sha256'], code], sort_keys=True))):016x}"[
            :16
        ]
        directory = self.root / "runs" / f"{raw['name'].replace('/', '_')}-{identity}"
        if plan:
            self.planned.append(
                {
                    "id": identity,
                    "name": raw["name"],
                    "directory": f"runs/{directory.name}",
                    "overrides": [],
                    "config": raw,
                    "is_control": raw["objective"]["name"] == "cross_entropy",
                }
            )
        if state == "new":
            return directory
        directory.mkdir(parents=True)
        (directory / "config.json").write_text(json.dumps(raw))
        (directory / "provenance.json").write_text(
            json.dumps(
                {
                    "run_id": identity,
                    "git_commit": "0123456789abcdef",
                    "code_sha256": code,
                    "corpus_sha256": corpus["sha256"],
                    "host": "node1",
                    "device": "cpu",
                    "command": f"python run.py reference={raw['reference']['name']}",
                    "packages": {"torch": "2.13.0"},
                }
            )
        )
        end = self.steps if state == "done" else int(self.steps * share)
        self.journal(directory, raw, identity, end, final, corpus, alarms, schema, state)
        if state == "done":
            (directory / "result.json").write_text(
                json.dumps(
                    self.result(raw, identity, final, track, corpus, code, alarms, schema, sample)
                )
            )
        elif state == "failed":
            (directory / "failure.json").write_text(
                json.dumps(
                    {
                        "run_id": identity, "name": raw["name"], "error": error,
                        "traceback": "Traceback …", "step": end, "host": "node1",
                        "time": time.time(), "attempt": 1,
                    }
                )
            )  # fmt: skip
        else:
            updated = time.time() - (3600 if state == "silent" else 1)
            told = "running" if state in ("running", "silent") else state
            (directory / "progress.json").write_text(
                json.dumps(
                    {
                        "state": told, "step": end, "steps": self.steps, "rate": 9.5,
                        "eta_s": 20.0, "loss": 1.0, "warnings": [], "updated": updated,
                        "pid": 1, "host": "node1", "device": "cpu",
                    }
                )
            )  # fmt: skip
        return directory

    def journal(
        self,
        directory: Path,
        raw: dict[str, Any],
        identity: str,
        end: int,
        final: float,
        corpus: dict[str, Any],
        alarms: tuple[str, ...],
        schema: int | None,
        state: str,
    ) -> None:
        rng = np.random.default_rng(raw["seed"] + int(final * 1000))
        lines = []
        if schema is not None:
            header = {"schema": schema, "run_id": identity, "name": raw["name"]}
            lines.append({**header, "corpus_sha256": corpus["sha256"]})
        for step in range(0, end + 1, 5):
            left = math.exp(-5 * step / self.steps) - math.exp(-5)
            nats = final + (4.17 - final) * left
            record: dict[str, Any] = {
                "step": step,
                "characters_seen": step * 2048,
                "epoch": step * 2048 / 900_000,
                "time/elapsed_s": step * 0.1,
                "train/loss": nats + rng.normal(0, 0.05),
                "train/entropy": nats - 0.05 + rng.normal(0, 0.02),
                "train/kl": 0.3 * (1 - math.exp(-4 * step / self.steps)),
                "reward/expected": 0.5 - nats / 10 + rng.normal(0, 0.004),
                "reward/spread_within": 0.2 + rng.normal(0, 0.01),
                "health/grad_norm": 0.4 + abs(rng.normal(0, 0.1)),
                "health/grad_cv": 0.3,
                "health/clip_fraction": 0.02 if step != 205 else 0.97,
            }
            if step % self.eval_every == 0 or step == end:
                record |= {
                    "val/nats": nats if step == end else nats + rng.normal(0, 0.01),
                    "val/perplexity": math.exp(nats),
                    "val/bits": nats / math.log(2),
                    "val/accuracy": 0.75 - nats / 7,
                    "val/ece": 0.02 + 0.01 * rng.random(),
                    "val/entropy": nats - 0.08,
                    "val/brier": None,
                    "health/collapse_gap": 0.01,
                }
            lines.append(record)
            if step == end and state == "done":
                final_values = {k: v for k, v in record.items() if not k.startswith("train/")}
                lines.append({**final_values, "event": "final", "val/nats": final})
            if step == 200:
                for alarm in alarms:
                    event = {"event": "alarm", "alarm": alarm, "state": "raised"}
                    where = {k: v for k, v in record.items() if k in PLACE}
                    lines.append({**where, **event, "value": 0.09, "threshold": 0.05})
                    lines.append({**where, "event": "promotion", "from": "bigram", "to": "trigram"})
        (directory / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    def result(
        self,
        raw: dict[str, Any],
        identity: str,
        final: float,
        track: str,
        corpus: dict[str, Any],
        code: str,
        alarms: tuple[str, ...],
        schema: int | None,
        sample: str,
    ) -> dict[str, Any]:
        told: dict[str, Any] = {
            "run_id": identity,
            "name": raw["name"],
            "state": "done",
            "track": track,
            "corpus": corpus["name"],
            "corpus_sha256": corpus["sha256"],
            "corpus_fallback": corpus["fallback_reason"],
            "parameters": 600_000,
            "steps": self.steps,
            "characters_seen": self.steps * 2048,
            "seconds": 40.5 + raw["seed"],
            "val/nats": final,
            "val/perplexity": math.exp(final),
            "val/bits": final / math.log(2),
            "val/accuracy": 0.75 - final / 7,
            "val/ece": 0.02 + final / 100,
            "val/brier": 0.7,
            "val/entropy": final - 0.08,
            "reward/expected": 0.31,
            "best/nats": final - 0.001,
            "best/step": self.steps,
            "git_commit": "0123456789abcdef",
            "code_sha256": code,
            "device": "cpu",
            "started": "2026-01-01T00:00:00Z",
            "finished": "2026-01-01T00:01:00Z",
            "alarms": list(alarms),
            "is_control": raw["objective"]["name"] == "cross_entropy",
            "reliability": {
                "confidence": [(i + 0.5) / 15 for i in range(15)],
                "accuracy": [min(1.0, (i + 0.3) / 15) for i in range(15)],
                "weight": [1 / 15] * 15,
            },
            "samples": [{"temperature": t, "text": f"{sample} [{t}]"} for t in (0.5, 0.8, 1.0)],
        }
        if schema is not None:
            told = {"schema": schema, **told}
        for level, (nats, accuracy) in LEVELS.items():
            told |= {f"ngram/{level}/nats": nats, f"ngram/{level}/accuracy": accuracy}
        return told

    def sweep(
        self, name: str = "demo", keys: tuple[str, ...] = ("reference", "reward.confidence_weight")
    ) -> Path:
        directory = self.root / "sweeps" / name
        directory.mkdir(parents=True)
        (directory / "plan.json").write_text(
            json.dumps(
                {
                    "schema": 1, "name": name, "created": "2026-01-01T00:00:00Z",
                    "command": ["python", "run.py", "-m"], "corpus": CORPUS,
                    "keys": list(keys), "runs": self.planned,
                }
            )
        )  # fmt: skip
        return directory


def demo(outputs: Outputs) -> Path:
    """3 references × 2 weights × 3 seeds, a control, with failed, running and queued seeds."""
    start = {"bigram": 2.2, "trigram": 2.0, "ngram4": 1.9}
    for reference, nats in start.items():
        for weight in (0.0, 0.5):
            for seed in range(3):
                state = "done"
                if reference == "trigram" and weight == 0.5:
                    state = ("done", "failed", "running")[seed]
                if reference == "bigram" and weight == 0.5 and seed == 2:
                    state = "new"
                outputs.run(
                    config(reference, weight, seed),
                    final=nats - 0.1 * weight + 0.004 * seed,
                    state=state,
                    alarms=("calibration",) if weight else (),
                )
    for seed in range(3):
        outputs.run(config("none", 0.0, seed, "cross_entropy"), final=1.7 + 0.002 * seed)
    return outputs.sweep()


@pytest.fixture
def outputs(tmp_path: Path) -> Outputs:
    return Outputs(tmp_path / "outputs")


@pytest.fixture
def demo_sweep(outputs: Outputs) -> Path:
    return demo(outputs)


@pytest.fixture
def searched(outputs: Outputs) -> Path:
    """A search of three runs by held-out nats: two of them paused at step 100, one at its end."""
    for seed, nats in enumerate(FINALS):
        raw = config(weight=float(seed))
        state = "done" if seed == 1 else "interrupted"
        path = outputs.run(raw, final=nats, state=state, share=0.25)
        if seed != 1:
            RunFolder(path).write_paused(100)
    ids = [run["id"] for run in outputs.planned]
    sweep = outputs.sweep()
    plan = json.loads((sweep / "plan.json").read_text())
    plan["search"] = {"metric": "val/nats", "rungs": 1}
    (sweep / "plan.json").write_text(json.dumps(plan))
    events: list[dict[str, Any]] = [
        {"event": "start", "run": ids[0], "rung": 0},
        {"event": "report", "run": ids[0], "rung": 0, "step": 100, "value": 2.4},
        {"event": "start", "run": ids[1], "rung": 0},
        {"event": "report", "run": ids[1], "rung": 0, "step": 100, "value": 2.1},
        {"event": "drop", "run": ids[1], "rung": 0},
        {"event": "promote", "run": ids[1], "rung": 1},
        {"event": "start", "run": ids[2], "rung": 0},
        {"event": "report", "run": ids[2], "rung": 0, "step": 100, "value": 2.2},
        {"event": "report", "run": ids[1], "rung": 1, "step": 400, "value": 2.0},
        {"event": "close", "run": ""},
    ]
    (sweep / "decisions.jsonl").write_text("".join(json.dumps(one) + "\n" for one in events))
    return sweep
