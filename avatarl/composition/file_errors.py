"""What is wrong with a file of the user's: a sweep, a recipe, an option; or where it is sought."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from hydra.errors import MissingConfigException
from yaml import MarkedYAMLError

from avatarl.composition.words import flat, groups, key_of, setting, value_of
from avatarl.errors import did_you_mean, refusal
from avatarl.source import SWEEPS, options_of
from avatarl.text import shortened

_CONFIG_PATH = refusal(
    "--config-path", "--config-dir=FOLDER, which adds to what is shipped", "config isn't there"
)


def kept_sweeps() -> list[str]:
    """What is shipped to be named by ``-cn``."""
    return ["config", *sorted(path.stem for path in SWEEPS.glob("*.yaml"))]


def named_file(word: str) -> str:
    """How a file is asked for whose path was typed; empty if there is no such file."""
    for path in (Path(word), Path(f"{word}.yaml")):
        if path.suffix == ".yaml" and path.is_file():
            return shlex.join(["-cd", str(path.parent), "-cn", path.stem])
    return ""


def describe_file(error: BaseException, overrides: Sequence[str]) -> str | None:
    """Tell in one line what is wrong with a file; None if no file is to blame.

    Args:
        error: From Hydra, OmegaConf or PyYAML.
        overrides: What was typed: a word that says the same is to blame instead.
    """
    typed = {key_of(word).partition("@")[0] for word in overrides}
    text = str(error)
    if folder := re.search(r"Additional config directory '(.+)' not found", text):
        return refusal(f"--config-dir={folder[1]}", "a folder that is there", "no such folder")
    if isinstance(error, MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        line = f"line {mark.line + 1}: " if mark else ""
        return refusal(str(mark.name) if mark else "a file", "YAML", f"{line}{error.problem}")
    if isinstance(error, MissingConfigException) and text.startswith("In '"):
        group, slash, option = str(error.missing_cfg_file).rpartition("/")
        if any(key_of(word).startswith(group) and option in value_of(word) for word in overrides):
            return None
        if option == "config" and not slash:
            return _CONFIG_PATH
        options = [str(one) for one in error.options or options_of(group) or kept_sweeps()]
        words = setting(group, option) if slash else f"{shortened(option)!r}"
        valid = ", ".join(options) + did_you_mean(option, options)
        return refusal(words, valid, "named by the defaults of a file")
    if "Primary config module" in text or "Primary config directory" in text:
        return _CONFIG_PATH
    if isinstance(error, MissingConfigException) and "primary config" in text:
        name = flat(str(error.missing_cfg_file))
        valid = f"{', '.join(kept_sweeps())}, or a file of the folder given by -cd"
        valid += did_you_mean(name, kept_sweeps())
        return refusal(f"--config-name={name}", named_file(name) or valid)
    file = re.match(r"In '([^']+)': Could not override '([^'@]+)", text)
    if file and file[2] not in typed:
        valid = "'# @package _global_' as its first line, and 'override /GROUP: OPTION'"
        return refusal(file[1], valid, f"there is no {file[2]} for its defaults to override")
    nameless = re.match(r"Interpolation key '(\w+)\.name' not found", text)
    if nameless and nameless[1] in groups() and not any(word[:1] == "~" for word in overrides):
        return refusal(nameless[1], "a file of the option with its name: NAME", "it has no name")
    word = re.search(r"node `(\w+)` is not a container", text)
    if word and word[1] in {*groups()} - typed:
        valid = f"'override {word[1]}: OPTION' among the defaults of the file"
        return refusal(word[1], valid, "a file gives it a value, where it is a group")
    if "must be a DictConfig" in text:
        return refusal("the file given by -cn", "a mapping of keys to values", "it holds a list")
    return None
