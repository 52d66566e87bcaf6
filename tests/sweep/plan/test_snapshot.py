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


SECRETS = [
    ".env", ".env.local", ".envrc", ".netrc", ".npmrc", ".pypirc", ".pgpass", ".git-credentials",
    "server.pem", "tls.key", "id_rsa", "id_ecdsa", "id_ed25519.bak", "keys.p12", "kubeconfig",
    "kubeconfig.yaml", "token.json", "hf_token.txt", "my_api_key.txt", "wandb-credentials.json",
    "conf/password.yaml", "secrets/notes.yaml", "secrets/keys.py", "conf/secrets/a.yaml",
    ".aws/config", ".ssh/config", ".kube/config", "service-account.json", "my_credentials.py",
]  # fmt: skip


def put(tree, name, content="hush"):
    (tree / name).parent.mkdir(parents=True, exist_ok=True)
    (tree / name).write_text(content)


def commit(tree):
    git = ["git", "-C", str(tree), "-c", "user.name=n", "-c", "user.email=e@x"]
    subprocess.run([*git, "add", "-A"], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "more"], check=True)


@pytest.mark.parametrize("tracked", [False, True])
def test_secrets_are_left_out_and_named(tree, tracked):
    names = [name for name in SECRETS if not (tracked and name == "my_credentials.py")]
    for name in names:
        put(tree, name)
    if tracked:
        commit(tree)
    assert "hush" not in files(snapshot.freeze(tree / "outputs", tree)).values()
    assert snapshot.left_out(tree) == sorted(names)


def test_of_untracked_files_those_are_taken_that_a_run_can_import_or_read(tree):
    taken = ["mylab/focal.py", "conf/reward/mine.yaml", "sweeps/q.yml", "avatarl/x.toml", "my.toml"]
    others = [
        "notes.md",
        "data.csv",
        "run.sh",
        "model.safetensors",
        "deploy/values.yaml",
        "n.ipynb",
    ]
    for name in (*taken, *others):
        put(tree, name, name)
    frozen = files(snapshot.freeze(tree / "outputs", tree))
    assert set(frozen) == {".gitignore", "avatarl/a.py", *taken}
    assert snapshot.left_out(tree) == sorted(others)


def test_source_that_git_knows_is_taken_whatever_it_is_called(tree):
    for name in ("avatarl/token.py", "avatarl/password_reward.py", "docs/notes.md"):
        put(tree, name, name)
    commit(tree)
    assert len(files(snapshot.freeze(tree / "outputs", tree))) == 5


def test_names_that_are_no_text_are_taken(tree):
    name = os.fsdecode(b"avatarl/\xff\xe9.py")
    put(tree, name, "x")
    assert files(snapshot.freeze(tree / "outputs", tree))[name] == "x"


@pytest.mark.parametrize(
    ("mode", "kept"),
    [
        (0o600, 0o600),
        (0o640, 0o640),
        (0o664, 0o644),
        (0o666, 0o644),
        (0o700, 0o700),
        (0o755, 0o755),
    ],
)
def test_modes_are_kept_and_never_widened(tree, mode, kept):
    (tree / "avatarl" / "a.py").chmod(mode)
    (tree / "avatarl").chmod(0o750)
    before = os.umask(0)
    try:
        code = snapshot.freeze(tree / "outputs", tree)
    finally:
        os.umask(before)
    assert stat.S_IMODE((code / "avatarl" / "a.py").stat().st_mode) == kept
    assert stat.S_IMODE((code / "avatarl").stat().st_mode) == 0o750


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


@pytest.mark.parametrize("damage", ["changed", "missing", "added", "manifest"])
def test_a_damaged_copy_is_told_and_made_anew(tree, damage, caplog):
    code = snapshot.freeze(tree / "outputs", tree)
    whole = files(code)
    if damage == "changed":
        (code / "avatarl" / "a.py").write_text("committed = 2\n")
    elif damage == "missing":
        (code / "avatarl" / "a.py").unlink()
    elif damage == "added":
        (code / "avatarl" / "json.py").write_text("")
    else:
        (code / snapshot.MANIFEST).write_text("{}")
    assert not snapshot.verify(code)
    with Rollback() as rollback:
        assert snapshot.freeze(tree / "outputs", tree, rollback) == code
    assert caplog.messages == [f"{code} isn't what was stored: copied again"]
    assert snapshot.verify(code)
    assert files(code) == whole
    assert [path.name for path in code.parent.iterdir()] == [code.name]


def test_a_package_that_lies_elsewhere_comes_along(tree, tmp_path, monkeypatch):
    for name in ("own/__init__.py", "own/deep/focal.py", "own/rows.csv", "own/my_secret.py"):
        put(tmp_path / "else", name, f"# {name}")
    put(tmp_path / "else", "other.py")
    (tmp_path / "else" / "own" / "deep" / "focal.py").chmod(0o640)
    monkeypatch.syspath_prepend(tmp_path / "else")
    own = {"own.deep.focal"}
    code = snapshot.freeze(tree / "outputs", tree, elsewhere=own)
    assert code == snapshot.location(tree / "outputs", tree, own)
    assert set(files(code)) == {
        ".gitignore", "avatarl/a.py", "own/__init__.py", "own/deep/focal.py",
    }  # fmt: skip
    assert stat.S_IMODE((code / "own/deep/focal.py").stat().st_mode) == 0o640
    assert snapshot.verify(code)


def test_without_git_the_package_is_frozen(tmp_path):
    root = tmp_path / "site-packages"
    (root / "avatarl" / "sweep").mkdir(parents=True)
    (root / "avatarl" / "sweep" / "x.py").write_text("x\n")
    (root / "somebody_else").mkdir()
    (root / "somebody_else" / "y.py").write_text("y\n")
    code = snapshot.freeze(tmp_path / "outputs", root)
    assert files(code) == {"avatarl/sweep/x.py": "x\n"}
    assert snapshot.manifest(code)["git_commit"] is None
