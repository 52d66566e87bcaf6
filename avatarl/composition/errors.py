"""What is wrong with an override, in one line: from Hydra's errors, OmegaConf's and our own.

Each line names the key and the value as typed, and what is valid.
"""

from __future__ import annotations

import re
import shlex
import traceback
from collections.abc import Sequence
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationKeyError, OmegaConfBaseException

from avatarl.composition.file_errors import describe_file, kept_sweeps, named_file
from avatarl.composition.shipped import compose_shipped
from avatarl.composition.words import flat, groups, key_of, setting, value_of
from avatarl.errors import ConfigError, UserError, did_you_mean, reason_of, refusal
from avatarl.process import program
from avatarl.source import options_of
from avatarl.text import printable, shortened, spelled

#: Packages whose exceptions come from what was typed, whatever their type.
_READERS = ("hydra", "omegaconf", "antlr4", "yaml")
_OURS = ("avatarl", "hydra_plugins")
_INTERPOLATION = "${KEY} of a key that is there, for instance ${optimizer.lr}"


def is_about_words(error: BaseException) -> bool:
    """Whether an exception says that something typed can't be used.

    Hydra meets some of it (``reward=null``) with an AssertionError or the like of its own.
    """
    if isinstance(error, UserError | HydraException | OmegaConfBaseException):
        return True
    if not isinstance(error, Exception):
        return False
    for frame, _ in reversed([*traceback.walk_tb(error.__traceback__)]):
        # By name, not by file: a clone may be called avatarl, and hold its environment.
        package = str(frame.f_globals.get("__name__")).partition(".")[0]
        if package in (*_READERS, *_OURS):
            return package in _READERS
    return False


def describe_error(error: BaseException, overrides: Sequence[str] = ()) -> str:
    """Tell in one line what is wrong with what the user typed.

    Args:
        error: From Hydra, OmegaConf or our own checks.
        overrides: What was typed, to find out what would have been valid.
    """
    refused = _cause(error)
    if isinstance(refused, ConfigError):
        return _as_typed(refused, overrides)
    if refused is not None:
        return str(refused)
    # A slip that Hydra takes for replacing all settings of the launcher by one word.
    slips = (re.fullmatch(r"hydra\.(launcher|sweeper)=(\w+)", word) for word in overrides)
    if slip := next(filter(None, slips), None):
        options = options_of(f"hydra/{slip[1]}")
        meant = slip[2] if slip[2] in options else "|".join(options)
        return refusal(setting(f"hydra.{slip[1]}", slip[2]), f"hydra/{slip[1]}={meant}")
    if isinstance(error, OSError) and not is_about_words(error):
        valid = "a folder that can be written to"
        return f"output_dir: {error.filename}: {reason_of(error)}; valid: {valid}"
    if about_file := describe_file(error, overrides):
        return about_file
    word = _culprit(error, overrides)
    if word is None:
        key = str(getattr(error, "full_key", None) or "the configuration")
        valid = f"what `{program()} --help` lists"
        if isinstance(error, InterpolationKeyError):
            valid = _INTERPOLATION
        return refusal(key, valid, _first_line(error))
    return _refuse(word, error, overrides)


def _cause(error: BaseException | None) -> UserError | None:
    """The error of ours that a library wrapped in one of its own."""
    while error is not None and not isinstance(error, UserError):
        error = error.__cause__ or error.__context__
    return error


def _as_typed(error: ConfigError, overrides: Sequence[str]) -> str:
    """Tell a refused setting with the value as it was typed (1e3, where 1000.0 was read)."""
    for word in reversed(overrides):
        name, equals, value = word.partition("=")
        typed = name.lstrip("+~").replace("/", ".")
        if isinstance(error.value, dict) and typed.startswith(f"{error.key}."):
            return refusal(setting(name, value), f"{error.key}: {error.valid}", "no such key")
        if typed != error.key:
            continue
        if name.startswith("~"):
            options = options_of(error.key.replace(".", "/"))
            valid = f"{error.key}={'|'.join(options) or 'VALUE'}"
            return refusal(shortened(word), valid, "a run needs it")
        if equals and value.strip("'\"") not in spelled(error.value):
            return refusal(setting(name, value), error.valid, error.why)
        break
    return str(error)


def _culprit(error: BaseException, overrides: Sequence[str]) -> str | None:
    """Find the word that an error is about."""
    if isinstance(error, OverrideParseException):
        return str(error.override)
    full_key = str(getattr(error, "full_key", None) or "")
    text = str(error)
    if isinstance(error, InterpolationKeyError):  # which something else refers to
        for word in overrides:
            if word.startswith("~") and re.search(rf"'{re.escape(key_of(word))}[.']", text):
                return word
    named = re.search(r"Could not (?:override|delete) '([^']+)'", text)
    for key in filter(None, (full_key, named and named.group(1).partition("=")[0])):
        for word in reversed(overrides):
            if key_of(word) == key:
                return word
    for word in sorted(overrides, key=len, reverse=True):
        if word in text:
            return word
    if isinstance(error, MissingConfigException):
        for word in reversed(overrides):
            if str(error.missing_cfg_file) == f"{key_of(word)}/{value_of(word)}":
                return word
    left = [word for word in overrides if not _is_sweep(word)]
    if not isinstance(error, MissingConfigException):
        left = [word for word in left if not _is_own(word)]  # found, though not shipped
    for count in range(1, len(left) + 1):
        try:
            compose_shipped(left[:count])
        except Exception:
            return left[count - 1]
    return None


def _read(word: str) -> Override | None:
    try:
        return OverridesParser.create().parse_override(word)
    except Exception:
        return None


def _is_sweep(word: str) -> bool:
    return (read := _read(word)) is not None and read.is_sweep_override()


def _is_own(word: str) -> bool:
    """Whether it chooses, by what can be a name, an option that isn't shipped."""
    options = options_of(key_of(word))
    value = read.value() if (read := _read(word)) is not None else None
    is_name = isinstance(value, str) and re.fullmatch(r"[\w./-]+", value)
    return bool(options and is_name) and value not in options


def _refuse(word: str, error: BaseException, overrides: Sequence[str]) -> str:
    key, equals, value = word.partition("=")
    if word.startswith("~") and value == "null":  # as Hydra writes a word to be deleted
        word, equals = key, ""
    words, text = setting(key, value) if equals else shortened(word), str(error)
    if isinstance(error, OverrideParseException):
        return _unreadable(word, error)
    if not key.strip("+~"):
        return refusal(words, "KEY=VALUE", "no key")
    if "Ambiguous value" in text or "requires --multirun" in text:
        valid = f"one value; several of them with -m; a list as {key}=[…]; text as {key}='\"…\"'"
        return refusal(words, valid, "that is a sweep")
    name, _, package = key.lstrip("+~").partition("@")
    options = options_of(name)
    if isinstance(error, MissingConfigException) and error.options:
        options = [str(option) for option in error.options]
    if package and key[0] not in "+~":
        return refusal(words, f"{name}=OPTION, or +{name}@PLACE=OPTION", "nothing there to replace")
    if options:
        why = "a group holds one of its options" if key[0] in "+~" and not package else ""
        valid = ", ".join(options) + did_you_mean(value, options)
        if key[0] not in "+~" and value in options and name != "experiment" and not package:
            why = "there is no such group here"
            valid = "a file for -cn with config among its defaults"
        elif value.strip("'\"") in options and not package:
            valid = f"{'+' if name == 'experiment' else ''}{name}={value}"
        # Where `avatarl new` writes.
        if re.fullmatch(r"\w{1,99}", value) and Path("conf", name, f"{value}.yaml").is_file():
            valid += f"; or with -cd conf the {value} that lies there"
        return refusal(words, valid, why)
    siblings = _valid_siblings(name, overrides)
    if name.rpartition(".")[2] not in siblings:
        hint = did_you_mean(name.rpartition(".")[2], siblings)
        return refusal(words, f"{', '.join(siblings)}{hint}", "no such key")
    if word.startswith("~"):
        return refusal(words, f"{name}=VALUE", "a run needs it")
    expected = re.search(r"expected one of \[([^]]*)\]", _first_line(error))
    valid_value = expected.group(1) if expected else _shipped_value(name, overrides)
    if isinstance(error, InterpolationKeyError):
        valid_value = f"a number, or {_INTERPOLATION}"
    return refusal(words, valid_value, _first_line(error))


def _unreadable(word: str, error: OverrideParseException) -> str:
    """Tell how to quote what Hydra's grammar can't read."""
    key, equals, value = word.partition("=")
    if not equals:
        name = Path(word).stem
        file = named_file(word) or (f"-cn {name}" if name in kept_sweeps() else "")
        valid = f"KEY=VALUE{file and ', or '}{file}"
        return refusal(f"{shortened(word)!r}", valid, "no = in it")
    # Hydra 1.4 begins with everything that was typed.
    failed = re.search(
        r"(?:ValueError|TypeError) while evaluating '.*?': (.*?)(?:\s+See http|$)",
        str(error.message),
        re.DOTALL,
    )
    if failed:
        ends = "interval(low,high), for hydra/sweeper=search"
        valid = ends if "interval(" in value else "one value, or several with commas"
        return refusal(setting(key, value), valid, flat(failed.group(1)))
    plain = value[1:-1] if len(value) > 1 and value[0] == value[-1] in "'\"" else value
    quoted = f"{key}={QuotedString(plain, Quote.double).with_quotes()}"
    try:
        OverridesParser.create().parse_override(quoted)
    except Exception:
        valid = "letters, digits and . / - _ in keys, and values in quotes: KEY='\"VALUE\"'"
    else:
        valid = f"in quotes, {shlex.quote(shortened(quoted))}"
    why = "not readable as an override: some characters mean something to Hydra"
    return refusal(shortened(word), valid, why)


def _valid_siblings(key: str, overrides: Sequence[str]) -> list[str]:
    """Keys beside a key that isn't there, given the options that were chosen."""
    of_groups = [word for word in overrides if key_of(word) in groups()]
    chosen = [word for word in of_groups if value_of(word) in options_of(key_of(word))]
    try:
        config = compose_shipped(chosen, with_hydra=key.startswith("hydra."))
        parent = config
        # The nearest parent that is there: model.block.size has the keys of model beside it.
        for part in key.split(".")[:-1]:
            below = OmegaConf.select(parent, part)
            if not isinstance(below, DictConfig):
                break
            parent = below
    except (HydraException, OmegaConfBaseException):
        own = [group for group in groups() if not group.startswith("hydra/")]
        return [*own, "name", "seed", "output_dir"]
    return [str(name) for name in parent if name not in ("hydra", "_target_")]


def _shipped_value(key: str, overrides: Sequence[str]) -> str:
    """Name a value that a key can have: the one that is shipped."""
    for chosen in (overrides, ()):
        try:
            config = compose_shipped(
                [word for word in chosen if key_of(word) in groups() and not _is_sweep(word)],
                with_hydra=key.startswith("hydra."),
            )
            value = OmegaConf.select(OmegaConf.create(OmegaConf.to_container(config)), key)
        except Exception:
            continue
        if not isinstance(value, DictConfig):
            return f"a value of the kind of {spelled(value)}"
    return "a value of the kind that is shipped"


def _first_line(error: BaseException) -> str:
    """The innermost reason, without OmegaConf's lines about where it noticed."""
    cause = error.__cause__
    lines = str(cause if isinstance(cause, OmegaConfBaseException) else error).splitlines()
    return shortened(printable(lines[0] if lines else type(error).__name__), 200)
