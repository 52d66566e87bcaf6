"""``avatarl new GROUP NAME``: a module, its settings and a test to start from, all one's own."""

from __future__ import annotations

import argparse
import importlib.util
import keyword
import re
from pathlib import Path

from avatarl.errors import ConfigError, did_you_mean
from avatarl.files import create_exclusively
from avatarl.source import CONF, options_of

#: What is copied unless one says otherwise: the plainest option of each group.
_PLAINEST = {
    "reward": "match", "explorer": "exhaustive", "objective": "expected", "optimizer": "adamw",
    "reference": "witten_bell", "model": "gpt2_tiny", "opponent": "past", "data": "text",
}  # fmt: skip
#: Parts that are modules alone, and what is copied of them.
_MODULES = {
    "failure": "avatarl.sweep.failure.keep_going",
    "plot": "avatarl.report.plots.reliability",
}
_TRAINS = '''\
"""{module} composes with everything else, and trains."""

from pathlib import Path

import avatarl

CONF = Path(__file__).resolve().parents[1] / "conf"
SHORT = ["data=folio", "data.characters=20000", "model=gpt2_tiny", "trainer.steps=3"]
SHORT += ["trainer.batch_size=16", "trainer.eval_positions=64", "trainer.device=cpu"]


def test_{name}_trains(tmp_path):
    words = [*SHORT, "tracking=files", "{group}={name}"]
    words.append(f"hydra.searchpath=[file://{{CONF}}]"){more}
    result = avatarl.run([*words, f"output_dir={{tmp_path}}"])
    assert result["val/nats"] < 10
'''
_TEXT = """
    (tmp_path / "text.txt").write_text("To be, or not to be: that is the question.\\n" * 400)
    words = [word for word in words if not word.startswith(("data=folio", "data.characters"))]
    words.append(f"data.path={tmp_path / 'text.txt'}")"""
_LOADS = {
    "plot": '''\
"""``avatarl compare --plots {module}`` finds it."""

from avatarl.report.plots import find_plots


def test_{name}_is_a_plot():
    assert "{module}" in find_plots(["{module}"])
''',
    "failure": '''\
"""``hydra.launcher.failure_policy={module}`` finds it."""

from avatarl.sweep.failure import load


def test_{name}_is_a_failure_policy():
    assert load("{module}", max_failures=None, max_retries=2, hang_after_s=900)
''',
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("group", help=f"what it is: {', '.join([*_PLAINEST, *_MODULES])}")
    parser.add_argument("name", help="its name, also of its files")
    parser.add_argument(
        "--like", metavar="OPTION", help="the shipped option to copy; by default the plainest"
    )
    parser.add_argument(
        "--package", default="mylab", help="the folder of your modules here (default: mylab)"
    )


def main(args: argparse.Namespace) -> int:
    """Write the files, and say what to type next.

    Raises:
        ConfigError: A word can't be used, or a file is there already; nothing is written.
    """
    files = _files(args.group, args.name, args.like, args.package)
    for path in files:
        if path.exists():
            raise ConfigError("name", args.name, "one without files yet", f"{path} is there")
    for path, content in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        create_exclusively(path, content)
        print(path)
    if args.group in _PLAINEST:
        print(f"try it: avatarl run -cd conf {args.group}={args.name}")
    print(f"test it: python -m pytest tests/test_{args.name}.py")
    return 0


def _files(group: str, name: str, like: str | None, package: str) -> dict[Path, str]:
    groups = [*_PLAINEST, *_MODULES]
    if group not in groups:
        raise ConfigError("group", group, ", ".join(groups) + did_you_mean(group, groups))
    for key, word in (("name", name), ("--package", package)):
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,60}", word) or keyword.iskeyword(word):
            raise ConfigError(key, word, "small letters, digits and _, as for a module")
    module = f"{package}.{name}"
    names = {"module": module, "name": name, "group": group}
    files: dict[Path, str] = {}
    if not Path(package, "__init__.py").exists():
        files[Path(package, "__init__.py")] = ""
    code, test = Path(package, f"{name}.py"), Path("tests", f"test_{name}.py")
    if group in _MODULES:
        return {**files, code: _source(_MODULES[group]), test: _LOADS[group].format(**names)}
    options = options_of(group)
    like = like or _PLAINEST[group]
    if like not in options:
        raise ConfigError("--like", like, ", ".join(options) + did_you_mean(like, options))
    settings = (CONF / group / f"{like}.yaml").read_text(encoding="utf-8")
    kind = dict(re.findall(r"^(name|kind): *([\w.]+)", settings, re.M))
    files[code] = _source(f"avatarl.{group}.{kind.get('kind', kind['name'])}")
    kept = re.sub(r"\A(#.*\n)+|^(name|kind):.*\n", "", settings, flags=re.M)
    head = f"# {name}: say here what it does; it started as a copy of {like}.\n"
    # A defaults list comes first.
    listed = re.match(r"(defaults:.*\n(?:[ -].*\n)*)?", kept)
    at = listed.end() if listed else 0
    own = f"name: {name}\nkind: {module}\n"
    files[Path("conf", group, f"{name}.yaml")] = f"{head}{kept[:at]}{own}{kept[at:]}"
    files[test] = _TRAINS.format(**names, more=_TEXT if group == "data" else "")
    return files


def _source(module: str) -> str:
    spec = importlib.util.find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).read_text(encoding="utf-8")
