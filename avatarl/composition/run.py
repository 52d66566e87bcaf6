"""One run: from what a user typed to a checked :class:`RunConfig` and its identity."""

from __future__ import annotations

import copy
import functools
import hashlib
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from avatarl.composition.errors import describe_error, is_about_words
from avatarl.composition.releases import register_resolver
from avatarl.composition.shipped import compose_shipped
from avatarl.composition.steering import is_of_slice, steering
from avatarl.composition.words import group_of, key_of
from avatarl.errors import ConfigError, UserError
from avatarl.names import check_name, resolved_word
from avatarl.process import program
from avatarl.source import options_of
from avatarl.text import printable
from avatarl.tracking import several

if TYPE_CHECKING:  # imports torch, which workers are to import at the same time, and errors needn't
    from avatarl.config import RunConfig
    from avatarl.data import Corpus

# Keys that serve composition alone.
_NOT_OF_A_RUN = ("hydra", "optimized_metric", "search", "sweep_name")


def is_of_sweeps(word: str) -> bool:
    """Whether an override has no part in a single run."""
    of_launch = key_of(word).startswith(
        ("hydra/launcher", "hydra.launcher", "hydra/sweeper", "hydra.sweeper")
    )
    return of_launch or (group_of(word) in _NOT_OF_A_RUN and group_of(word) != "hydra")


def register_resolvers() -> None:
    """Make what conf/config.yaml resolves by us known; harmless when repeated."""
    register_resolver("avatarl_sweep_name", sweep_name)
    register_resolver("avatarl_folder", _folder)
    register_resolver("avatarl_program", program)


def _folder(key: str, value: object) -> str:
    # In the path that Hydra writes to before anything else is checked.
    return check_name(key, value)


def sweep_name(config_name: str | None, overrides: Sequence[str] | ListConfig | None) -> str:
    """Name a sweep after its file, or after what was typed; the same command, the same name."""
    if config_name is None or overrides is None:  # shown alone, by --cfg job --resolve
        from hydra.core.hydra_config import HydraConfig

        hydra = HydraConfig.get() if HydraConfig.initialized() else None
        config_name = str(config_name or (hydra.job.config_name if hydra else "config"))
        overrides = overrides or (hydra.overrides.task if hydra else [])
    typed = sorted(str(override) for override in overrides)
    digest = hashlib.sha256("\n".join(typed).encode()).hexdigest()[:6]
    if config_name != "config":
        name = re.sub(r"[^A-Za-z0-9._+-]+", "-", config_name).strip("-_.+")[:90] or "sweep"
        return f"{name}-{digest}" if typed else name
    words = re.sub(r"[^A-Za-z0-9._]+", "-", "_".join(str(override) for override in overrides))
    return f"{words[:60].strip('-_.') or 'sweep'}-{digest}"


def check_choices(overrides: Sequence[str]) -> None:
    """Refuse a list or mapping where a group's option belongs; Hydra would merge them.

    Raises:
        ConfigError: On the group, or on ``overrides`` themselves.
    """
    if isinstance(overrides, str) or not all(isinstance(word, str) for word in overrides):
        raise ConfigError("overrides", overrides, 'a list of words: ["seed=1", "reward=match"]')
    for word in overrides:
        group, _, value = word.partition("=")
        if value[:1] in ("[", "{") and (options := options_of(group)):
            valid = f"one option: {', '.join(options)}"
            if group == "tracking":
                if re.fullmatch(r"\[\w+(,\w+)*\]", value) and "files" not in value[1:-1].split(","):
                    continue
                valid += "; or a list of them without files, which are always written"
            raise ConfigError(group, value, valid)


def compose(overrides: Sequence[str] = ()) -> RunConfig:
    """Compose one run as ``avatarl run OVERRIDES`` would.

    Args:
        overrides: For instance ``["reward=match", "reference=none", "trainer.steps=100"]``.

    Raises:
        UserError: An override can't be used; the message says why.
    """
    register_resolvers()
    check_choices(overrides)
    try:
        return resolve(compose_shipped(list(overrides)))
    except Exception as error:
        if isinstance(error, UserError) or not is_about_words(error):
            raise
        raise UserError(describe_error(error, overrides)) from error


def resolve(config: DictConfig, hydra: DictConfig | None = None) -> RunConfig:
    """Resolve and check a composed configuration.

    A run of a sweep is grouped under the sweep's name in wandb, and paths become absolute, so
    that a run means the same wherever it is started from. Where a development slice steers the
    sweep, runs cut it off their text.

    Args:
        config: As Hydra composes it.
        hydra: Hydra's own part, where it isn't in there.

    Raises:
        ConfigError: A key or a combination can't be used.
    """
    from avatarl.config import GROUPS, parse

    raw: dict[str, Any] = {
        str(key): OmegaConf.to_container(config[key], resolve=True)
        if OmegaConf.is_config(config[key])
        else config[key]
        for key in config
        if key not in _NOT_OF_A_RUN
    }
    for group in GROUPS:
        if group not in raw:
            valid = "an option of the group; a file given by -cn has config among its defaults"
            raise ConfigError(group, None, valid, "it is missing")
    mode = OmegaConf.select(config, "hydra.mode")
    if isinstance(raw["tracking"], dict):
        raw["tracking"] = several.gathered(raw["tracking"])
        for one in several.each_raw(raw["tracking"]):
            if getattr(mode, "name", None) == "MULTIRUN":
                _name_in_sweep(one, config)
            _ask_environment(one)
    aim = steering(config, hydra)
    if aim is not None and is_of_slice(aim) and isinstance(raw["trainer"], dict):
        raw["trainer"]["eval_dev"] = True
    if isinstance(raw.get("output_dir"), str) and raw["output_dir"].strip():
        raw["output_dir"] = str(Path(raw["output_dir"]).expanduser().absolute())
    data = raw["data"]
    if isinstance(data, dict) and isinstance(data.get("path"), str):
        data["path"] = _existing("data.path", data["path"])
    try:
        parsed = parse(raw)
    except ConfigError as error:
        if not error.key.startswith("tracking.trackers."):
            raise
        key = several.as_typed(error.key, raw["tracking"])
        raise ConfigError(key, error.value, error.valid, error.why) from None
    for tracking in parsed.tracking.each():
        tracking.check_environment()
    return parsed


def _existing(key: str, typed: str) -> str:
    # Asked here, of what a user types: a stored run may find its text where this machine keeps it.
    path = Path(typed).expanduser().absolute()
    if typed and not path.exists():
        raise ConfigError(key, typed, "an existing file or folder", "nothing is there")
    return str(path)


def _name_in_sweep(tracking: dict[str, Any], config: DictConfig) -> None:
    """Group a run of a sweep under the sweep, and name it by what was overridden for it."""
    if "group" in tracking and tracking["group"] is None:
        tracking["group"] = Path(str(config.hydra.sweep.dir)).name
    if "dir" in tracking and tracking["dir"] is None and not os.environ.get("WANDB_DIR"):
        # wandb's own viewer shows the runs of one folder.
        tracking["dir"] = str(Path(str(config.hydra.sweep.dir)).expanduser().absolute())
    if "run_name" in tracking and tracking["run_name"] is None:
        typed = [str(override) for override in config.hydra.overrides.task]
        outside = ("output_dir=", "tracking", "sweep_name=", "name=", "trainer.")
        # reward.confidence_weight=0.5 → confidence_weight=0.5
        words = [
            # A value that refers to another key is told by what it is.
            re.sub(r"^[^=]*\.", "", resolved_word(word, lambda key: OmegaConf.select(config, key)))
            for word in typed
            if not word.startswith(outside)
        ]
        tracking["run_name"] = printable(" ".join(words))[:128] or None


def _ask_environment(tracking: dict[str, Any]) -> None:
    """Let wandb's own variables say what the configuration doesn't; wandb itself reads others."""
    variables = {"project": "WANDB_PROJECT", "run_name": "WANDB_NAME", "notes": "WANDB_NOTES"}
    for key, variable in variables.items():
        if key in tracking and tracking[key] is None:
            tracking[key] = os.environ.get(variable) or None
    if tracking.get("tags") == []:
        words = os.environ.get("WANDB_TAGS", "").split(",")
        tracking["tags"] = [word.strip() for word in words if word.strip()]


def identify(config: RunConfig) -> tuple[str, Corpus]:
    """Return a run's id and its text, which is part of it.

    Raises:
        DataError: The text can't be had, or is too short for the context.
        ConfigError: The text has fewer windows than a batch, or no room for a development slice or
            for the reference's order.
    """
    # Not at the top: Hydra, when it sets up logging, silences loggers that are there already.
    from avatarl.data import load as load_corpus
    from avatarl.runs.outputs import Outputs
    from avatarl.training.batches import check_text

    corpus = load_corpus(config.data)
    check_text(config, corpus)
    return Outputs(config.output_dir).identify(config.raw, corpus.text_sha256), corpus


def control_of(config: RunConfig) -> RunConfig:
    """Return the matched control: ordinary training of the same network in the same way.

    Network, prior, optimiser, schedule, text, seed, batch and characters seen stay; what is
    rewarded, explored and referred to becomes plain next-character training.
    """
    from avatarl.config import parse

    raw = dict(config.raw)
    raw["name"] = "control"
    raw["tracking"] = copy.deepcopy(raw["tracking"])
    for tracking in several.each_raw(raw["tracking"]):
        if "run_name" in tracking:  # it named the run that this is the control of
            tracking["run_name"] = None
    for choice in ("objective=cross_entropy", "reward=match", "explorer=exhaustive"):
        group = choice.partition("=")[0]
        raw[group] = json.loads(_shipped(choice))
    raw["explorer"]["positions"] = config.explorer.positions
    if not config.model.prior:
        raw["reference"] = json.loads(_shipped("reference=none"))
    return parse(raw)


@functools.lru_cache(maxsize=16)
def _shipped(choice: str) -> str:
    """The settings of one option as shipped, as JSON; composing takes Hydra some 60 ms."""
    group = choice.partition("=")[0]
    return json.dumps(OmegaConf.to_container(compose_shipped([choice])[group], resolve=True))
