"""What Hydra's completion for shells lacks: values after a comma or bracket, our own commands."""

from __future__ import annotations

import contextlib
import io
import os
import re
from collections.abc import Collection, Iterator, Sequence

_LINE = "COMP_LINE"
#: A value of several: its key, those that are complete, and the beginning of the last.
_SEVERAL = re.compile(
    r"(?P<key>[^\s=]+=)(?P<before>\[(?:[^\s,\[\]]+,)*|(?:[^\s,\[\]]+,)+)(?P<last>[^\s,]*)"
)
#: Commands that are given names of sweeps, and those given names of runs.
_OF_SWEEPS = ("status", "watch", "cancel", "retry", "compare", "logs", "backfill", "wandb-report")
_OF_RUNS = ("sample", "inspect", "reproduce", "compare", "logs")


def of_commands(words: Sequence[str], commands: Collection[str]) -> list[str] | None:
    """What may follow a line that is none of a run; ``None``: Hydra knows.

    Args:
        words: As for :func:`completing`.
        commands: All that there are.
    """
    if words[:1] not in (["-sc"], ["--shell-completion"]) or _LINE not in os.environ:
        return None
    typed = os.environ[_LINE].split()[1:]
    begun = "" if os.environ[_LINE][-1:].isspace() else typed.pop() if typed else ""
    if not typed:
        return [name for name in commands if name.startswith(begun)] or None
    if typed[0] == "run" or typed[0] not in commands:
        return None
    from avatarl.runs.find import OUTPUTS
    from avatarl.runs.outputs import Outputs

    there = Outputs(OUTPUTS)
    named = {there.sweeps: _OF_SWEEPS, there.runs: _OF_RUNS}
    folders = [folder for folder, those in named.items() if typed[0] in those]
    names = [path.name for folder in folders for path in sorted(folder.glob("*"))]
    return [name for name in names if name.startswith(begun)]


@contextlib.contextmanager
def completing(words: Sequence[str]) -> Iterator[None]:
    """Let Hydra complete the last of several values as if it were the only one.

    Args:
        words: As the program got them: ``-sc query=bash``, or any others, which are left alone.
    """
    asked = any(flag in ("-sc", "--shell-completion") for flag in words)
    if not asked or _LINE not in os.environ:
        yield
        return
    line = re.sub(r"^(\S*avatarl\s+)run\s", r"\1", os.environ[_LINE])
    head, _, typed = line.rpartition(" ")
    several = _SEVERAL.fullmatch(typed)
    if several is None:
        os.environ[_LINE] = line
        yield
        return
    key, before = several["key"], several["before"]
    os.environ[_LINE] = f"{head} {key}{several['last']}"
    with contextlib.redirect_stdout(io.StringIO()) as told:
        yield
    taken = set(re.split(r"[\[,]", before))
    values = [word.removeprefix(key) for word in told.getvalue().split() if word.startswith(key)]
    print(" ".join(f"{key}{before}{value}" for value in values if value not in taken))
