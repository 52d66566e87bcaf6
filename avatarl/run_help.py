"""``avatarl run --help``: what Hydra would print, from the same files and in a fifth of the time.

Hydra composes a configuration for it and loads every option of every group.
"""

from __future__ import annotations

import importlib
import string
from collections.abc import Iterator, Sequence
from pathlib import Path

from avatarl import terminal
from avatarl.process import program
from avatarl.source import CONF, options_of


def told(words: Sequence[str]) -> bool:
    """Print the help if it is all that is asked for, and nothing but ``conf/`` has a say in it.

    Args:
        words: What follows ``avatarl run``; with an override or ``-cd`` Hydra knows more.
    """
    asked = list(words) in (["--help"], ["-h"])
    if not asked or _others_have_options():
        return False
    terminal.secure()
    print(text())
    return True


def text() -> str:
    """The template of ``conf/hydra/help``, filled in."""
    import yaml

    told = yaml.safe_load((CONF / "hydra" / "help" / "avatarl.yaml").read_text("utf-8"))
    header = told["header"].replace("${avatarl_program:}", program())
    template = string.Template(told["template"].replace("${hydra.help.header}", header))
    return template.substitute(APP_CONFIG_GROUPS="".join(_groups(CONF)))


def _groups(folder: Path) -> Iterator[str]:
    for group in sorted(path for path in folder.rglob("*") if path.is_dir()):
        name = group.relative_to(CONF).as_posix()
        options = options_of(name)
        if options and name.partition("/")[0] != "hydra":
            yield f"{name}: {', '.join(options)}\n"


def _others_have_options() -> bool:
    # Plugins of other packages may have added folders to Hydra's search path.
    places = importlib.import_module("hydra_plugins").__path__
    names = {path.stem for place in places for path in Path(place).glob("[!_]*")}
    return bool(names - {"avatarl_launcher"})
