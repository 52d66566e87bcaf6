"""What Hydra's completion for shells lacks: values after a comma or bracket, ``avatarl run``."""

from __future__ import annotations

import contextlib
import io
import os
import re
from collections.abc import Iterator, Sequence

_LINE = "COMP_LINE"
#: A value of several: its key, those that are complete, and the beginning of the last.
_SEVERAL = re.compile(
    r"(?P<key>[^\s=]+=)(?P<before>\[(?:[^\s,\[\]]+,)*|(?:[^\s,\[\]]+,)+)(?P<last>[^\s,]*)"
)


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
