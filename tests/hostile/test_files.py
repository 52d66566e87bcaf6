"""Every file of a run and of a sweep, damaged: named, passed over, never a traceback."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from avatarl import cli, composition, terminal
from avatarl.errors import UserError
from avatarl.files import read_json, write_json
from avatarl.runs import liveness, ownership, slurm_jobs
from avatarl.runs.outputs import Outputs
from avatarl.sweep import reproduce
from avatarl.sweep.plan.planned import Candidate, make_plan
from avatarl.training import execute
from avatarl.training.console import Console
from tests import tiny

pytestmark = pytest.mark.hostile
SETTINGS = [
    *tiny.TINY,
    "tracking=files",
    "trainer.steps=4",
    "trainer.log_every=2",
    "trainer.eval_positions=64",
    "trainer.sample_characters=5",
]


def cut(raw: bytes) -> bytes:
    return raw[: len(raw) // 2]


def empty(raw: bytes) -> bytes:
    return b""


def a_list(raw: bytes) -> bytes:
    return b"[]\n"


def null(raw: bytes) -> bytes:
    return b"null\n"


def an_empty_object(raw: bytes) -> bytes:
    return b"{}\n"


def text(raw: bytes) -> bytes:
    return b'"text"\n'


def utf16(raw: bytes) -> bytes:
    return raw.decode("latin-1").encode("utf-16")


def no_encoding(raw: bytes) -> bytes:
    return raw.replace(b"a", b"\xff\xfe")


def zeros(raw: bytes) -> bytes:
    return bytes(len(raw))


def deep(raw: bytes) -> bytes:
    return b"[" * 100_000


def _values(raw: bytes, other: Callable[[object], object]) -> bytes:
    """Replace every value of a JSON object, or of every line."""
    lines = raw.splitlines() if b"}\n{" in raw else [raw]
    try:
        objects = [json.loads(line) for line in lines]
    except ValueError:
        return raw[::-1]
    changed = [
        {key: other(value) for key, value in one.items()} if isinstance(one, dict) else other(one)
        for one in objects
    ]
    return b"\n".join(json.dumps(one).encode() for one in changed) + b"\n"


def huge_numbers(raw: bytes) -> bytes:
    return _values(raw, lambda value: 10**400 if isinstance(value, int | float) else value)


def infinite_numbers(raw: bytes) -> bytes:
    return _values(raw, lambda value: float("inf") if isinstance(value, int | float) else value)


def beyond_digits(raw: bytes) -> bytes:
    return _values(raw, lambda value: value).replace(b"1", b"1" * 5000)


def words_for_numbers(raw: bytes) -> bytes:
    return _values(raw, lambda value: "x" if isinstance(value, int | float) else value)


def numbers_for_words(raw: bytes) -> bytes:
    return _values(raw, lambda value: -3 if isinstance(value, str) else value)


def nulls(raw: bytes) -> bytes:
    return _values(raw, lambda value: None)


def lists(raw: bytes) -> bytes:
    return _values(raw, lambda value: [value])


DAMAGES = [
    cut, empty, a_list, null, an_empty_object, text, utf16, no_encoding, zeros, deep, huge_numbers,
    infinite_numbers, beyond_digits, words_for_numbers, numbers_for_words, nulls, lists,
]  # fmt: skip


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep of two runs, one of them done, with every file that there may be."""
    root = tmp_path_factory.mktemp("original") / "outputs"
    configs = [
        composition.compose([*SETTINGS, f"seed={seed}", f"output_dir={root}"]) for seed in (0, 1)
    ]
    done = execute(configs[0])
    ids = [done["run_id"], "0" * 16]
    candidates = [
        Candidate((f"seed={seed}",), config.raw, one, "one program")
        for seed, (config, one) in enumerate(zip(configs, ids, strict=True))
    ]
    corpus = {"name": "folio", "sha256": done["corpus_sha256"]}
    plan = make_plan("s", candidates, corpus=corpus)
    sweep = root / "sweeps" / "s"
    plan.write(sweep)
    owner = {**liveness.this_process().__dict__, "pid": 1, "started": 0.0}
    write_json(sweep / "launch.json", {"launcher": "local", "settings": {}, "owner": owner})
    content = {"jobs": ["7_0", "7_1"], "code": "", "created": 0.0, "packs": [[one] for one in ids]}
    write_json(sweep / "slurm/1/submission.json", content)
    other = plan.runs[1].folder
    other.path.mkdir()
    ownership.claim(other).release("failed", "no good")
    for source in done.directory.iterdir():
        if source.is_file() and source.name not in ("result.json", "owner.json"):
            shutil.copy(source, other.path / source.name)
    other.journal.write_bytes(other.journal.read_bytes().replace(ids[0].encode(), b"0" * 16))
    other.write_failure(ids[1], "t", "ValueError: no good")
    return root


def files(root: Path) -> Iterator[Path]:
    for path in sorted(root.rglob("*")):
        if path.is_file() and path.suffix not in (".yaml", ".safetensors"):
            yield path.relative_to(root)


COMMANDS = [
    ["status", "--all"],
    ["status", "--all", "--json"],
    ["watch"],
    ["logs"],
    ["compare", "s"],
    ["compare", "--format", "json"],
    ["compare", "--html", "page.html"],
    ["cancel", "s"],
    ["sync", "--dry-run"],
]


AS_JSON = "status --all --json"
#: Files of which the user is told that they are damaged, where the damage shows.
NAMED = ("result.json", "config.json", "plan.json", "metrics.jsonl")
PLAUSIBLE = (an_empty_object, words_for_numbers, numbers_for_words, nulls, lists, no_encoding)


def look(root: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, tuple[int, str]]:
    """What each command says and ends with; a traceback passes through."""
    found = {}
    for command in COMMANDS:
        code = cli.main([*command, "--output-dir", str(root)])
        told = capsys.readouterr()
        found[" ".join(command)] = code, told.out + told.err
    return found


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_no_command_ends_in_a_traceback_whatever_a_file_holds(
    original: Path,
    tmp_path: Path,
    damage: Callable[[bytes], bytes],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(slurm_jobs, "jobs", lambda ids, fresh=False: {})
    monkeypatch.setattr(terminal, "reader_left", itertools.cycle([False, False, True]).__next__)
    failures = []
    for name in files(original):
        shutil.copytree(original, tmp_path / "outputs", symlinks=True)
        path = tmp_path / "outputs" / name
        path.write_bytes(damage(path.read_bytes()))
        try:
            told = look(tmp_path / "outputs", capsys)
            if name.name in NAMED and damage not in PLAUSIBLE:
                said = "".join(text for _, text in told.values())
                if name.name not in said:
                    failures.append(f"{name}: isn't named")
            if name.name == "result.json":
                states = [json.loads(line)["state"] for line in told[AS_JSON][1].splitlines()]
                if "done" in states:
                    failures.append(f"{name}: counts as a result")
            for folder in Outputs(tmp_path / "outputs").run_folders():
                try:
                    reproduce.bundle_of(folder.path)
                    reproduce.compare(folder.path, folder.path)
                except UserError:
                    pass
        except Exception as error:
            where = error.__traceback__
            while where is not None and where.tb_next is not None:
                where = where.tb_next
            place = f"{where.tb_frame.f_code.co_filename}:{where.tb_lineno}" if where else ""
            failures.append(f"{name}: {type(error).__name__}: {str(error)[:100]} ({place})")
        shutil.rmtree(tmp_path / "outputs")
    assert not failures, "\n".join(failures)


@pytest.mark.parametrize("damage", [cut, nulls], ids=lambda damage: damage.__name__)
def test_a_damaged_run_is_finished_as_an_unfinished_one_is(
    original: Path, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    undisturbed = next(Outputs(original).runs.glob("*/result.json")).parent
    root = tmp_path / "outputs"
    config = composition.compose([*SETTINGS, "seed=0", f"output_dir={root}"])
    for name in sorted(path.name for path in undisturbed.iterdir() if path.is_file()):
        shutil.copytree(original, root)
        for path in {root / "runs" / undisturbed.name / one for one in (name, "result.json")}:
            path.write_bytes(damage(path.read_bytes()))
        result = execute(config)
        Console().conclude(result)
        assert result["val/nats"] == read_json(undisturbed / "result.json")["val/nats"], name
        if name != "metrics.jsonl":  # the curve is lost, and what only it held
            assert reproduce.compare(undisturbed, result.directory) == [], name
        shutil.rmtree(root)
