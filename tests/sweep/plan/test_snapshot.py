from __future__ import annotations

import os
import stat
import subprocess

import pytest

from avatarl.sweep.plan import snapshot
from avatarl.sweep.plan.rollback import Rollback


@pytest.fixture
def tree(tmp_path):
    root = tmp_path / "tree"
    (root / "avatarl").mkdir(parents=True)
    (root / "avatarl" / "a.py").write_text("committed = 1\n")
    (root / ".gitignore").write_text("outputs/\n*.log\n")
    git = ["git", "-C", str(root), "-c", "user.name=n", "-c", "user.email=e@x"]
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "first"], check=True)
    return root


def files(code):
    return {
        str(path.relative_to(code)): path.read_text()
        for path in code.rglob("*")
        if path.is_file() and path.name != snapshot.MANIFEST
    }


def test_uncommitted_and_untracked_work_is_frozen_and_ignored_files_are_not(tree):
    (tree / "avatarl" / "a.py").write_text("edited = 2\n")
    (tree / "avatarl" / "new.py").write_text("untracked = 3\n")
    (tree / "noise.log").write_text("ignored")
    code = snapshot.freeze(tree / "outputs", tree)
    assert files(code) == {
        ".gitignore": "outputs/\n*.log\n",
        "avatarl/a.py": "edited = 2\n",
        "avatarl/new.py": "untracked = 3\n",
    }
    assert snapshot.manifest(code)["git_dirty"] is True
    (tree / "avatarl" / "a.py").write_text("later = 4\n")
    assert files(code)["avatarl/a.py"] == "edited = 2\n"


def test_the_same_content_is_the_same_place_and_is_foretold(tree):
    foretold = snapshot.location(tree / "outputs", tree)
    assert not foretold.exists()
    code = snapshot.freeze(tree / "outputs", tree)
    assert code == foretold == snapshot.freeze(tree / "outputs", tree)
    (tree / "avatarl" / "a.py").write_text("other\n")
    assert snapshot.freeze(tree / "outputs", tree) != code


@pytest.mark.parametrize("used_by_another", [False, True])
def test_a_copy_made_for_nothing_goes_unless_another_sweep_uses_it(tree, used_by_another):
    def refused():
        with Rollback() as rollback:
            snapshot.freeze(tree / "outputs", tree, rollback)
            if used_by_another:
                snapshot.freeze(tree / "outputs", tree)
            raise ValueError

    with pytest.raises(ValueError):
        refused()
    code = snapshot.location(tree / "outputs", tree)
    assert code.parent.exists() is used_by_another
    assert not used_by_another or snapshot.verify(code)
    # One that was there before stays in any case.
    snapshot.freeze(tree / "outputs", tree)
    with pytest.raises(ValueError):
        refused()
    assert snapshot.verify(code)


def test_secrets_are_left_out(tree):
    for name in (".env", "server.pem", "id_rsa", "my_api_key.txt", "wandb-credentials.json"):
        (tree / name).write_text("hush")
    assert "hush" not in files(snapshot.freeze(tree / "outputs", tree)).values()


def test_nothing_frozen_is_world_writable(tree):
    before = os.umask(0)
    try:
        code = snapshot.freeze(tree / "outputs", tree)
    finally:
        os.umask(before)
    for path in (code.parent, code, *code.rglob("*")):
        assert not path.stat().st_mode & stat.S_IWOTH, path


def test_tampering_shows(tree):
    code = snapshot.freeze(tree / "outputs", tree)
    assert snapshot.verify(code)
    (code / "avatarl" / "a.py").write_text("tampered\n")
    assert not snapshot.verify(code)


def test_without_git_the_package_is_frozen(tmp_path):
    root = tmp_path / "site-packages"
    (root / "avatarl" / "sweep").mkdir(parents=True)
    (root / "avatarl" / "sweep" / "x.py").write_text("x\n")
    (root / "somebody_else").mkdir()
    (root / "somebody_else" / "y.py").write_text("y\n")
    code = snapshot.freeze(tmp_path / "outputs", root)
    assert files(code) == {"avatarl/sweep/x.py": "x\n"}
    assert snapshot.manifest(code)["git_commit"] is None
