"""The same records as TensorBoard's event files."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from typing_extensions import override

from avatarl.errors import ConfigError
from avatarl.names import check_words
from avatarl.runs import journal
from avatarl.runs.flatten import flatten
from avatarl.runs.folder import RunFolder
from avatarl.runs.identity import is_neutral
from avatarl.tracking import base


@dataclass(frozen=True)
class Config(base.Config):
    """Where the event files go, and what their points are drawn against."""

    dir: str | None
    x: Literal["steps", "characters"]

    def __post_init__(self) -> None:
        """Refuse to begin without the library that writes them."""
        if self.dir is not None:
            check_words("dir", self.dir, 3_000)
        if importlib.util.find_spec("tensorboardX") is None:
            valid = "another tracker, or first: pip install 'avatarl[tensorboard]'"
            raise ConfigError("kind", self.kind, valid, "tensorboardX isn't installed")

    @override
    def open(
        self,
        raw: Mapping[str, Any],
        run_id: str,
        directory: Path,
        history: Sequence[Mapping[str, Any]] = (),
    ) -> TensorBoardSink:
        folder = RunFolder(directory).tensorboard
        if self.dir is not None:
            folder = Path(self.dir).expanduser().absolute() / directory.name
        return TensorBoardSink(folder, raw, directory, history, self.x)


class TensorBoardSink:
    """One run's event file, written anew from the journal whenever the run is opened or goes back.

    Args:
        folder: Of the event files; it is the run's alone.
        raw: The whole resolved configuration.
        directory: The run's.
        history: Records logged before.
        x: What points are drawn against.
    """

    def __init__(
        self,
        folder: Path,
        raw: Mapping[str, Any],
        directory: Path,
        history: Sequence[Mapping[str, Any]],
        x: str,
    ) -> None:
        self._folder, self._raw, self._directory = folder, raw, directory
        self._axis = "characters_seen" if x == "characters" else "step"
        self._write(history)

    def _write(self, history: Sequence[Mapping[str, Any]]) -> None:
        from tensorboardX import SummaryWriter

        for file in self._folder.glob("events.out.tfevents.*"):
            file.unlink()
        self._writer = SummaryWriter(str(self._folder), flush_secs=10)
        elapsed = history[-1].get("time/elapsed_s", 0.0) if history else 0.0
        self._began, self._last = time.time() - elapsed, -1
        for record in history:
            if "event" not in record:
                self._add(record)

    def log(self, step: int, record: Mapping[str, Any]) -> None:
        """Add a point to each metric's curve."""
        if step < self._last:  # the run went back: what came after isn't part of it
            self._writer.close()
            self._write(journal.read(RunFolder(self._directory).journal)[1])
        else:
            self._add(record)

    def _add(self, record: Mapping[str, Any]) -> None:
        when = self._began + record["time/elapsed_s"]
        # A step may have several records, each with how far the run has come.
        told = journal.INDEX if record["step"] == self._last else ("step",)
        for name, value in record.items():
            if name not in told and isinstance(value, int | float):
                self._writer.add_scalar(name, value, record[self._axis], when)
        self._last = record["step"]

    def alarm(self, message: str, raised: bool) -> None:
        """Nothing: the curves show what was alarming."""

    def summary(self, values: Mapping[str, Any]) -> None:
        """Add the settings with the result's figures, and what the policy wrote."""
        from tensorboardX.summary import hparams

        at = values["characters_seen" if self._axis != "step" else "steps"]
        figures = {
            f"result/{name}": float(value)
            for name, value in values.items()
            if name.startswith(("val/", "best/")) and isinstance(value, int | float)
        }
        for name, figure in figures.items():
            self._writer.add_scalar(name, figure, at)
        settings = {
            key: value if isinstance(value, bool | int | float | str) else str(value)
            for key, value in flatten(self._raw).items()
            if not is_neutral(key)
        }
        for part in hparams(settings, figures):
            self._writer.file_writer.add_summary(part)
        for sample in values["samples"]:
            text = sample["text"].replace("\n", "  \n")  # Markdown's line break
            self._writer.add_text(f"samples/temperature {sample['temperature']}", text, at)

    def finish(self, ended: base.Ending, complete: bool) -> None:
        """Write what is left, and close; event files have no word for how a run ended."""
        self._writer.close()
