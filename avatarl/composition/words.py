"""The parts of an override: ``+KEY=VALUE``, ``~KEY``, ``GROUP@PLACE=OPTION``."""

from __future__ import annotations

from avatarl.text import shortened


def key_of(word: str) -> str:
    """The key or group, without what is done to it."""
    return word.partition("=")[0].lstrip("+~")


def group_of(word: str) -> str:
    """The group, of its key or of what lies in it: ``hydra`` of ``hydra/launcher=slurm``."""
    return key_of(word).partition(".")[0].partition("/")[0]


def value_of(word: str) -> str:
    """The value as typed; empty where there is none."""
    return word.partition("=")[2]


def setting(key: str, value: str) -> str:
    """Name a setting in a message, as it was typed."""
    return f"{shortened(key)}='{shortened(value)}'"


def flat(text: str) -> str:
    """Several lines as one, for a message."""
    return shortened(" ".join(text.split()), 300)


def groups() -> tuple[str, ...]:
    """The groups that options are chosen from."""
    from avatarl.config import GROUPS

    return (*GROUPS, "search", "hydra/launcher", "hydra/sweeper")
