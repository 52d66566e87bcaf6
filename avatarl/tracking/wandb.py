"""The same records in wandb: one wandb run for one run, whatever interrupts it."""

from __future__ import annotations

import contextlib
import logging
import math
import netrc
import os
import shutil
import threading
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from typing_extensions import override

from avatarl.errors import ConfigError
from avatarl.names import check_words
from avatarl.options import Later
from avatarl.runs import journal
from avatarl.runs.folder import RunFolder
from avatarl.tracking import base, delivery, source
from avatarl.typed import read_number

log = logging.getLogger("avatarl")


#: Variables that say how long to wait for the server at a run's start and end, and what holds
#: without them, in seconds.
_PATIENCE_S = {"WANDB_INIT_TIMEOUT": 30.0, "WANDB_FINISH_TIMEOUT": 60.0}
_GRACE_S = 2.0

#: What WANDB_MODE may say, and what that is called here.
_MODES = {
    "online": "online", "offline": "offline", "disabled": "disabled", "shared": "shared",
    "run": "online", "dryrun": "offline",
}  # fmt: skip

#: What ``x`` names in the records; steps are wandb's own axis.
_AXES = {
    "characters": "characters_seen", "epochs": "epoch", "seconds": "time/elapsed_s", "steps": None,
}  # fmt: skip

#: What wandb takes for finished, for failed, and as its own client tells it of Ctrl-C.
_EXIT_CODES: dict[base.Ending, int] = {"done": 0, "failed": 1, "interrupted": 255, "paused": 255}


@dataclass(frozen=True)
class Config(base.Config):
    """Where and how wandb logs."""

    later: ClassVar[str] = "`avatarl sync`"

    mode: Literal["auto", "online", "offline", "disabled"]
    project: str | None
    entity: str | None
    group: str | None
    run_name: str | None
    tags: tuple[str, ...]
    artifact: bool  # upload the final checkpoint
    notes: Annotated[str | None, Later(None)]
    dir: Annotated[str | None, Later(None)]
    x: Annotated[Literal["characters", "steps", "epochs", "seconds"], Later("characters")]
    system: Annotated[bool, Later(False)]
    console: Annotated[bool, Later(False)]
    code: Annotated[bool, Later(False)]

    def __post_init__(self) -> None:
        """Refuse names and tags that wandb or a terminal couldn't show."""
        for key in ("project", "entity", "group", "run_name"):
            if (name := getattr(self, key)) is not None:
                check_words(key, name, 512)
        if self.dir is not None:
            check_words("dir", self.dir, 3_000)
        for place, tag in enumerate(self.tags):
            check_words(f"tags.{place}", tag, 64)

    @property
    @override
    def needs_server(self) -> bool:
        return resolve_mode(self.mode) not in ("offline", "disabled")

    @override
    def check_environment(self) -> None:
        if resolve_mode(self.mode) != "disabled":
            for variable in _PATIENCE_S:
                _patience_s(variable)

    @override
    def open(
        self,
        raw: Mapping[str, Any],
        run_id: str,
        directory: Path,
        history: Sequence[Mapping[str, Any]] = (),
    ) -> WandbSink | None:
        # wandb can't continue an offline run: it would leave fragments that overwrite each other
        # when uploaded. So the offline run is written anew from the history, and there is only
        # ever one. Online, wandb itself continues, and is sent what it doesn't have of it.
        mode = resolve_mode(self.mode)
        if mode == "disabled":
            return None
        online = mode != "offline"
        wandb_id = _of_agent() or delivery.wandb_id(directory) or run_id
        if online:
            delivery.note(directory, "owed")
        if wandb_id != run_id:
            delivery.name(directory, wandb_id)
        if not online:
            _forget_fragments(directory, wandb_id)
        place = delivery.settle(directory, wandb_id, self.dir)
        run = self._init(raw, wandb_id, mode, place)
        if online:
            # The server has taken this run over, and what is missing there comes from the history.
            _forget_fragments(directory, wandb_id)
        sink = WandbSink(run, directory, self, online)
        sink.replay(history)
        return sink

    @override
    def put_off(self, directory: Path) -> None:
        delivery.note(directory, "owed")

    @override
    def answer(self, raw: Mapping[str, Any], run_id: str, directory: Path) -> None:
        wandb_id = _of_agent()
        mode = resolve_mode(self.mode)
        if wandb_id is None or mode == "disabled" or wandb_id == delivery.wandb_id(directory):
            return
        folder = RunFolder(directory)
        result = folder.read_result()
        run = self._init(raw, wandb_id, mode, delivery.place(self.dir) or directory)
        sink = WandbSink(run, directory, self, online=False)
        sink.replay(journal.read(folder.journal)[1])
        if result is not None:
            sink.summary(result)
        sink.finish("done")

    def _init(self, raw: Mapping[str, Any], wandb_id: str, mode: str, place: Path) -> Any:
        import wandb

        wandb.setup(wandb.Settings(silent=True))  # or logging in says so
        try:
            run = wandb.init(
                project=self.project or "avatarl",
                entity=self.entity,
                group=self.group,
                job_type="control" if _kind(raw["objective"]) == "cross_entropy" else "train",
                name=self.run_name or f"{raw['name']}-seed{raw['seed']}",
                id=wandb_id,  # a resumed run stays one run
                resume="allow",
                reinit="create_new",  # several runs may be open in one process
                mode=mode,  # type: ignore[arg-type]
                dir=place,
                config=dict(raw),
                notes=self.notes,
                tags=[raw["reward"]["name"], raw["reference"]["name"], *self.tags],
                settings=wandb.Settings(
                    silent=True,
                    console="off",  # runs of one process would get each other's: WandbSink sends it
                    x_disable_stats=not self.system,
                    finish_timeout_raises=True,
                    init_timeout=_patience_s("WANDB_INIT_TIMEOUT"),
                    finish_timeout=_patience_s("WANDB_FINISH_TIMEOUT"),
                ),
            )
        except wandb.errors.CommError:
            _abandon()
            raise
        for axis in ("characters_seen", "epoch"):
            run.define_metric(axis, hidden=True)
        if (chosen := _AXES[self.x]) is not None:
            run.define_metric("*", step_metric=chosen)
        if self.code:
            with source.gathered(raw) as folder:
                name = f"source-{self.project or 'avatarl'}"
                run.log_code(folder, name=name, include_fn=lambda path: True)
        return run


def _of_agent() -> str | None:
    """The wandb run that ``wandb agent`` started this process for."""
    if not os.environ.get("WANDB_SWEEP_ID"):
        return None
    return os.environ.get("WANDB_RUN_ID") or None


def resolve_mode(mode: str) -> str:
    """Turn ``auto`` into ``online`` for someone who is logged in, else ``offline``.

    Raises:
        ConfigError: WANDB_MODE, which is asked first, isn't one of wandb's.
    """
    if mode != "auto":
        return mode
    if asked := os.environ.get("WANDB_MODE"):
        if asked not in _MODES:
            raise ConfigError("WANDB_MODE", asked, ", ".join(_MODES))
        return _MODES[asked]
    return "online" if _logged_in() else "offline"


def _patience_s(variable: str) -> float:
    """How many seconds to wait for the server; 0 is without end, to wandb."""
    typed = os.environ.get(variable)
    if not typed:
        return _PATIENCE_S[variable]
    return read_number(variable, typed, "a number of seconds, 0 or more")


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

    def __init__(self, run: Any, directory: Path, config: Config, online: bool) -> None:
        self._run, self._directory, self._config = run, directory, config
        self._online = online
        # How many bytes of the run's log wandb has.
        self._told = delivery.log_sent(directory) if run.resumed else 0
        self._best = math.inf
        # 0 means without end, to wandb.
        self._patience = float(run.settings.finish_timeout) or threading.TIMEOUT_MAX - _GRACE_S

    def replay(self, history: Sequence[Mapping[str, Any]]) -> None:
        """Log what was logged before, but for what the server has already."""
        for record in history:
            if "event" in record:
                continue
            if record["step"] >= self._run.starting_step:
                self.log(record["step"], record)
            else:
                self._note_best(record["step"], record)

    def log(self, step: int, record: Mapping[str, Any]) -> None:
        """Log one record; the x-axis is characters seen."""
        self._run.log({key: value for key, value in record.items() if key != "step"}, step=step)
        self._note_best(step, record)
        self._tell_log()

    def _note_best(self, step: int, record: Mapping[str, Any]) -> None:
        # Under the names of result.json, so that running and finished runs share their columns.
        nats = record.get("val/nats")
        if nats is not None and nats < self._best:
            self._best = nats
            self._run.summary.update({"best/nats": nats, "best/step": step})

    def _tell_log(self, whole: bool = False) -> None:
        """Send what has come to the run's own log, printed lines included."""
        if not self._config.console:
            return
        with contextlib.suppress(OSError), RunFolder(self._directory).log.open("rb") as file:
            file.seek(self._told)
            text = file.read()
            if not whole:
                text = text[: text.rfind(b"\n") + 1]
            self._told += len(text)
            if text:
                self._run.write_logs(text.decode(errors="replace"))

    def alarm(self, message: str, raised: bool) -> None:
        """Send an alert when an alarm is raised."""
        if raised:
            self._run.alert(title=message.split(":")[0], text=message)

    def summary(self, values: Mapping[str, Any]) -> None:
        """Write the result's figures, samples, reliability curve and, if wanted, weights.

        Raises:
            TimeoutError: The server doesn't answer; tables can't be logged without it.
        """
        _within(self._patience, lambda: self._summary(values))

    def _summary(self, values: Mapping[str, Any]) -> None:
        import wandb

        rows = [[item["temperature"], item["text"]] for item in values["samples"]]
        samples = wandb.Table(columns=["temperature", "text"], data=rows)
        curve = values["reliability"]
        bins = zip(curve["confidence"], curve["accuracy"], curve["weight"], strict=True)
        table = wandb.Table(
            columns=["confidence", "accuracy", "weight"], data=[list(entry) for entry in bins]
        )
        title = "Held-out accuracy against confidence"
        plot = wandb.plot.line(table, "confidence", "accuracy", title=title)
        # A step of their own: sent again, they are known by it and dropped.
        after = values["steps"] + 1
        if after >= self._run.starting_step:
            self._run.log({"samples": samples, "reliability": plot}, step=after)
        # After a new step has begun: the end of the one before writes its figures to the summary.
        scalars = {k: v for k, v in values.items() if isinstance(v, int | float | str | bool)}
        self._run.summary.update(scalars)
        if self._config.artifact:
            checkpoint = wandb.Artifact(f"checkpoint-{values['run_id']}", type="model")
            for path in sorted(self._directory.glob(f"checkpoint-{values['steps']}.*")):
                checkpoint.add_file(str(path))
            self._run.log_artifact(checkpoint)

    def finish(self, ended: base.Ending, complete: bool = True) -> None:
        """Flush and close.

        Args:
            ended: How the run has ended; wandb is told by the exit code.
            complete: Whether the sink was told everything, so that nothing is left to send.

        Raises:
            TimeoutError: The server hasn't taken everything in time; ``avatarl sync`` continues.
        """
        self._tell_log(whole=True)
        try:
            # wandb's own limit doesn't hold where a request is under way that isn't answered.
            code = _EXIT_CODES[ended]
            _within(self._patience + _GRACE_S, lambda: self._run.finish(exit_code=code))
        except TimeoutError:
            _abandon()
            raise
        if self._online:
            delivery.note(self._directory, "complete" if complete else "owed", self._told)


def _within(seconds: float, action: Callable[[], None]) -> None:
    """Do something that may wait for the server, without end if it doesn't answer."""
    failures: list[Exception] = []

    def attempt() -> None:
        try:
            action()
        except Exception as error:
            failures.append(error)
        except BaseException as error:  # cancelled, and nobody waits for it any more
            failures.append(RuntimeError(f"{type(error).__name__}: {error}"))

    thread = threading.Thread(target=attempt, daemon=True, name="wandb")
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise TimeoutError(f"no answer within {seconds:g} s")
    if failures:
        raise failures[0]


def _abandon() -> None:
    """End wandb's background process, which would keep this one from ending while it retries.

    It serves all runs of this process, and none of them gets through. Nothing is lost: what the
    server lacks is sent from a run's own files.
    """
    import psutil
    import wandb

    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            if "wandb-core" in child.name():
                child.kill()
    with contextlib.suppress(Exception):
        _within(_GRACE_S, wandb.teardown)
    os.environ.pop("WANDB_SERVICE", None)  # its address, for processes that start later


def _kind(option: Mapping[str, Any]) -> Any:
    return option.get("kind", option["name"])  # runs of earlier versions have the name alone


def _forget_fragments(directory: Path, run_id: str) -> None:
    for fragment in delivery.offline(directory):
        if fragment.name.endswith(f"-{run_id}"):
            shutil.rmtree(fragment)
