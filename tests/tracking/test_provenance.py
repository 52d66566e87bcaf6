from __future__ import annotations

import json
import subprocess
from pathlib import Path

from avatarl.tracking.provenance import SNAPSHOT_NOTE, version


def git(root: Path, *words: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    done = subprocess.run(
        ["git", "-C", str(root), *identity, *words], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_a_repository_names_its_commit_and_its_uncommitted_changes(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / "a.py").write_text("1\n")
    git(tmp_path, "add", "a.py")
    git(tmp_path, "commit", "-qm", "one")
    clean = version(tmp_path)
    assert clean == {"git_commit": git(tmp_path, "rev-parse", "HEAD"), "git_diff_sha256": None}
    (tmp_path / "a.py").write_text("2\n")
    changed = version(tmp_path)
    assert changed["git_commit"] == clean["git_commit"]
    assert changed["git_diff_sha256"]


def test_a_frozen_copy_tells_where_it_is_from_and_not_where_it_lies(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    copy = tmp_path / "code"
    copy.mkdir()
    assert version(copy) == {"git_commit": None, "git_diff_sha256": None}
    note = {"git_commit": "abc", "git_diff_sha256": "def", "sha256": "ghi"}
    (copy / SNAPSHOT_NOTE).write_text(json.dumps(note))
    assert version(copy) == {"git_commit": "abc", "git_diff_sha256": "def"}
