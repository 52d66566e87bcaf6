"""The same records in wandb: one wandb run for one run, whatever interrupts it."""

from __future__ import annotations

import logging
import netrc
import os
import shutil
import urllib.parse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from avatarl.tracking import base

log = logging.getLogger("avatarl")


@dataclass(frozen=True)
class Config(base.Config):
    """Where and how wandb logs."""

    mode: Literal["auto", "online", "offline", "disabled"]
    project: str
    entity: str | None
    group: str | None
    run_name: str | None
    tags: tuple[str, ...]
    artifact: bool  # upload the final checkpoint


def resolve_mode(mode: str) -> str:
    """Turn ``auto`` into ``online`` for someone who is logged in, else ``offline``."""
    if mode != "auto":
        return mode
    if os.environ.get("WANDB_MODE"):
        return os.environ["WANDB_MODE"]
    return "online" if _logged_in() else "offline"


def _logged_in() -> bool:
    """Whether a key is at hand where `wandb login` puts it; nothing is asked, sent or loaded."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = urllib.parse.urlsplit(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname
    path = Path(os.environ.get("NETRC", "~/.netrc")).expanduser()
    try:
        return host is not None and netrc.netrc(str(path)).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False


class WandbSink:
    """One open wandb run."""

    def __init__(self, run: Any, directory: Path, artifact: bool) -> None:
        self._run, self._directory, self._artifact = run, directory, artifact

    def log(self, step: int, record: Mapping[str, Any]) -> None:
        """Log one record; the x-axis is characters seen."""
        self._run.log({key: value for key, value in record.items() if key != "step"}, step=step)

    def alarm(self, message: str, raised: bool) -> None:
        """Send an alert when an alarm is raised."""
        if raised:
            self._run.alert(title=message.split(":")[0], text=message)

    def summary(self, values: Mapping[str, Any]) -> None:
        """Write the result's figures, samples, reliability curve and, if wanted, weights."""
        for key, value in values.items():
            if isinstance(value, int | float | str | bool):
                self._run.summary[key] = value
        import wandb

        rows = [[item["temperature"], item["text"]] for item in values["samples"]]
        self._run.log({"samples": wandb.Table(columns=["temperature", "text"], data=rows)})
        curve = values["reliability"]
        bins = zip(curve["confidence"], curve["accuracy"], curve["weight"], strict=True)
        table = wandb.Table(
            columns=["confidence", "accuracy", "weight"], data=[list(entry) for entry in bins]
        )
        title = "Held-out accuracy against confidence"
        plot = wandb.plot.line(table, "confidence", "accuracy", title=title)
        self._run.log({"reliability": plot})
        if self._artifact:
            checkpoint = wandb.Artifact(f"checkpoint-{values['run_id']}", type="model")
            for path in sorted(self._directory.glob(f"checkpoint-{values['steps']}.*")):
                checkpoint.add_file(str(path))
            self._run.log_artifact(checkpoint)

    def finish(self) -> None:
        """Flush and close."""
        self._run.finish()


def start(
    config: base.Config,
    raw: Mapping[str, Any],
    run_id: str,
    directory: Path,
    history: Sequence[Mapping[str, Any]] = (),
) -> WandbSink | None:
    """Open the wandb run of a run, or continue it.

    Args:
        config: Of this module.
        raw: The whole resolved configuration; logged nested.
        run_id: Becomes wandb's id, so that a resumed run stays one run.
        directory: Of the run; offline files go to ``wandb/`` in it.
        history: Records logged before an interruption. wandb can't continue an offline run: it
            would leave fragments that overwrite each other when uploaded. So the offline run is
            written anew from these, and there is only ever one. Online, wandb itself continues.
    """
    assert isinstance(config, Config)
    mode = resolve_mode(config.mode)
    if mode == "disabled":
        return None
    import wandb

    if mode == "offline":
        for fragment in directory.glob(f"wandb/offline-run-*-{run_id}"):
            shutil.rmtree(fragment)
    seed = raw["seed"]
    run = wandb.init(
        project=config.project,
        entity=config.entity,
        group=config.group,
        job_type="control" if raw["objective"]["name"] == "cross_entropy" else "train",
        name=config.run_name or f"{raw['name']}-seed{seed}",
        id=run_id,
        resume="allow",
        mode=mode,  # type: ignore[arg-type]
        dir=directory,
        config=dict(raw),
        tags=[raw["reward"]["name"], raw["reference"]["name"], *config.tags],
        settings=wandb.Settings(silent=True, console="off", x_disable_stats=True, init_timeout=30),
    )
    run.define_metric("characters_seen", hidden=True)
    for pattern in ("train/*", "val/*", "reward/*", "health/*"):
        run.define_metric(pattern, step_metric="characters_seen")
    run.define_metric("val/nats", step_metric="characters_seen", summary="last,min")
    sink = WandbSink(run, directory, config.artifact)
    done = run.step if mode == "online" else 0
    for record in history:
        if "event" not in record and record["step"] >= done:
            sink.log(record["step"], record)
    return sink
