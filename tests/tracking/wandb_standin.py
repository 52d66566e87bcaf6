"""A stand-in for wandb's server on the loopback, for the real client: it keeps what it is sent.

Only as much of the protocol as the client needs to log, resume, upload files and artifacts, alert
and save a report. What it doesn't know it answers with an error and names in ``unknown``.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import sys
import threading
import time
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import wandb

from avatarl.tracking import tracker as recorder

ENTITY = "someone"


@dataclass
class StoredRun:
    """A run as the server knows it."""

    id: str
    project: str
    upserts: int = 0
    group: str | None = None
    job_type: str | None = None
    display_name: str | None = None
    notes: str | None = None
    sweep: str | None = None
    tags: list[str] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    lines: dict[int, str] = field(default_factory=dict)  # history by offset
    rewritten: list[int] = field(default_factory=list)  # offsets that were sent again
    files: dict[str, bytes] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)  # system metrics
    output: dict[int, str] = field(default_factory=dict)  # lines of the console by number
    alerts: list[dict[str, Any]] = field(default_factory=list)
    exit_code: int | None = None

    @property
    def history(self) -> list[dict[str, Any]]:
        """Logged rows, in order."""
        return [json.loads(self.lines[offset]) for offset in sorted(self.lines)]

    def table(self, name: str) -> dict[str, Any]:
        """An uploaded table."""
        (found,) = (each for path, each in self.files.items() if f"/{name}_" in path)
        table: dict[str, Any] = json.loads(found)
        return table

    def node(self) -> dict[str, Any]:
        """The run as GraphQL tells it; JSON values are strings there."""
        tail = [self.lines[max(self.lines)]] if self.lines else []
        # A run without "t" counts as never started, and isn't continued.
        known = self.config.get("_wandb", {}).get("value", {})
        return {
            "id": f"run-{self.id}",
            "name": self.id,
            "displayName": self.display_name,
            "description": None,
            "notes": None,
            "sweepName": None,
            "tags": self.tags,
            "config": json.dumps(self.config),
            "wandbConfig": json.dumps({key: known[key] for key in ("t",) if key in known}),
            "summaryMetrics": json.dumps(self.summary),
            "historyLineCount": len(self.lines),
            "eventsLineCount": len(self.events),
            "logLineCount": len(self.output),
            "historyTail": json.dumps(tail),
            "eventsTail": "[]",
            "project": {
                "id": f"project-{self.project}",
                "name": self.project,
                "entity": {"id": f"entity-{ENTITY}", "name": ENTITY},
            },
        }


@dataclass
class StoredArtifact:
    """An artifact as the server knows it."""

    name: str
    kind: str
    run: str
    client: str
    files: dict[str, bytes] = field(default_factory=dict)
    committed: bool = False


class Standin:
    """The server; everything it was sent is in its attributes.

    ``trouble`` makes it a bad one: "error" answers 500 to everything, "silence" never answers.
    """

    def __init__(self, port: int = 0) -> None:
        self.runs: dict[str, StoredRun] = {}
        self.proposed: list[dict[str, Any]] = []  # what an agent is told to run next, by key
        self.agents = 0
        self.artifacts: dict[str, StoredArtifact] = {}
        self.views: list[dict[str, Any]] = []
        self.asked: list[str] = []  # every request: GraphQL operation, or method and path
        self.unknown: list[str] = []
        self.trouble: str | None = None
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._server = _Http(("127.0.0.1", port), _Handler)
        self._server.standin = self
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def stop(self) -> None:
        """Go away: whoever asks from now on is refused. What was stored can still be read."""
        if not self._stopped.is_set():
            self._stopped.set()
            self._server.shutdown()
            self._server.close_connections()
            self._server.server_close()
            self._thread.join()

    def answer(self, method: str, path: str, body: bytes) -> dict[str, Any]:
        """Take in one request; the JSON answer.

        Raises:
            KeyError: Nothing here knows it.
        """
        with self._lock:
            if path == "/graphql":
                asked = json.loads(body)
                found = re.match(r"\s*(?:query|mutation)\s*(\w*)", asked["query"])
                name = asked.get("operationName") or (found.group(1) if found else "")
                self.asked.append(name)
                handle = getattr(self, f"_on_{name.lower()}", None)
                if handle is None:
                    self.unknown.append(asked["query"])
                    raise KeyError(name)
                try:
                    return {"data": handle(asked.get("variables") or {})}
                except Exception as error:
                    self.unknown.append(f"{name} {asked.get('variables')}: {error!r}")
                    raise KeyError(name) from error
            self.asked.append(f"{method} {path}")
            parts = [urllib.parse.unquote(part) for part in path.strip("/").split("/")]
            if method == "POST" and parts[0] == "files" and parts[-1] == "file_stream":
                return self._stream(self.runs[parts[3]], json.loads(body))
            if method == "PUT" and parts[0] == "upload":
                self.runs[parts[1]].files["/".join(parts[2:])] = body
                return {}
            if method == "PUT" and parts[0] == "artifact":
                self.artifacts[parts[1]].files["/".join(parts[2:])] = body
                return {}
            self.unknown.append(f"{method} {path}")
            raise KeyError(path)

    def _stream(self, run: StoredRun, sent: dict[str, Any]) -> dict[str, Any]:
        for name, chunk in (sent.get("files") or {}).items():
            if name == "wandb-history.jsonl":
                for offset, line in enumerate(chunk["content"], chunk["offset"]):
                    if offset in run.lines:
                        run.rewritten.append(offset)
                    run.lines[offset] = line
            elif name == "wandb-summary.json":
                run.summary = json.loads(chunk["content"][-1])
            elif name == "wandb-events.jsonl":
                run.events += [json.loads(line) for line in chunk["content"]]
            elif name == "output.log":
                run.output.update(enumerate(chunk["content"], chunk["offset"]))
        if sent.get("complete"):
            run.exit_code = sent.get("exitcode")
        return {}

    def _on_viewer(self, _: dict[str, Any]) -> dict[str, Any]:
        viewer = {"id": "viewer", "entity": ENTITY, "username": ENTITY, "email": None}
        return {"viewer": {**viewer, "flags": "{}", "teams": {"edges": []}}}

    _on_getdefaultentity = _on_viewer

    def _on_serverfeaturesquery(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"serverInfo": {"features": []}}

    def _on_runresumestatus(self, asked: dict[str, Any]) -> dict[str, Any]:
        run = self.runs.get(asked["name"])
        entity = {"id": f"entity-{ENTITY}", "name": ENTITY}
        bucket = run.node() if run else None
        model = {"id": "project", "name": asked["project"], "entity": entity, "bucket": bucket}
        return {"model": model}

    def _on_upsertbucket(self, asked: dict[str, Any]) -> dict[str, Any]:
        by_id = {f"run-{run.id}": run for run in self.runs.values()}
        run = by_id.get(asked.get("id") or "") or self.runs.get(asked.get("name") or "")
        inserted = run is None
        if run is None:
            run = self.runs[asked["name"]] = StoredRun(asked["name"], asked["project"])
        run.upserts += 1
        run.group = asked.get("groupName") or run.group
        run.job_type = asked.get("jobType") or run.job_type
        run.display_name = asked.get("displayName") or run.display_name
        run.tags = asked.get("tags") or run.tags
        run.notes = asked.get("notes") or run.notes
        run.sweep = asked.get("sweep") or run.sweep
        if asked.get("config"):
            run.config = json.loads(asked["config"])
        if asked.get("summaryMetrics"):
            run.summary = json.loads(asked["summaryMetrics"])
        return {"upsertBucket": {"bucket": run.node(), "inserted": inserted}}

    def _on_organizationcoreweaveorganizationid(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"entity": None}

    def _on_sweepwithruns(self, asked: dict[str, Any]) -> dict[str, Any]:
        command = [sys.executable, "-m", "avatarl", "run", "${args_no_hyphens}"]
        sweep = {"id": "sweep", "name": asked["sweep"], "config": json.dumps({"command": command})}
        return {"project": {"sweep": {**sweep, "runs": {"edges": []}}}}

    def _on_createagent(self, _: dict[str, Any]) -> dict[str, Any]:
        self.agents += 1
        return {"createAgent": {"agent": {"id": f"agent-{self.agents}"}}}

    def _on_heartbeat(self, asked: dict[str, Any]) -> dict[str, Any]:
        commands = []
        if not json.loads(asked["runState"]):  # nothing of it runs
            if self.proposed:
                args = {key: {"value": value} for key, value in self.proposed.pop(0).items()}
                number = f"proposed{len(self.runs)}"
                commands = [{"type": "run", "run_id": number, "program": "run.py", "args": args}]
            else:
                commands = [{"type": "exit"}]
        told = json.dumps(commands)
        return {"agentHeartbeat": {"agent": {"id": asked["id"]}, "commands": told}}

    def _on_createrunfiles(self, asked: dict[str, Any]) -> dict[str, Any]:
        files = [
            {"name": name, "uploadUrl": self._upload("upload", asked["run"], name)}
            for name in asked["files"]
        ]
        return {
            "createRunFiles": {"runID": f"run-{asked['run']}", "uploadHeaders": [], "files": files}
        }

    def _on_notifyscriptablerunalert(self, asked: dict[str, Any]) -> dict[str, Any]:
        self.runs[asked["runName"]].alerts.append(asked)
        return {"notifyScriptableRunAlert": {"success": True}}

    def _on_artifacttype(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"project": {"artifact": None}}  # none of that name yet

    def _on_fetchartifactdigestalgorithm(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"project": {"artifactType": None}}

    def _on_xxhashdigestsenabled(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"entity": {"xxhashDigestsEnabled": False}}

    def _on_clientidmapping(self, asked: dict[str, Any]) -> dict[str, Any]:
        known = [key for key, each in self.artifacts.items() if each.client == asked["clientID"]]
        return {"clientIDMapping": {"serverID": known[0]} if known else None}

    def _on_createartifact(self, asked: dict[str, Any]) -> dict[str, Any]:
        about = asked["input"]
        key = f"artifact-{len(self.artifacts)}"
        name, kind = about["artifactCollectionName"], about["artifactTypeName"]
        self.artifacts[key] = StoredArtifact(name, kind, about["runName"], about["clientID"])
        sequence = {"latestArtifact": None}
        artifact = {"id": key, "state": "PENDING", "artifactSequence": sequence}
        return {"createArtifact": {"artifact": artifact}}

    def _on_createartifactmanifest(self, asked: dict[str, Any]) -> dict[str, Any]:
        return {"createArtifactManifest": self._manifest(asked["artifactID"])}

    def _on_updateartifactmanifest(self, asked: dict[str, Any]) -> dict[str, Any]:
        key = asked["artifactManifestID"].removeprefix("manifest-of-")
        return {"updateArtifactManifest": self._manifest(key)}

    def _manifest(self, key: str) -> dict[str, Any]:
        url = self._upload("artifact", key, "manifest.json")
        file = {"id": f"file-of-{key}", "uploadUrl": url, "uploadHeaders": []}
        return {"artifactManifest": {"id": f"manifest-of-{key}", "file": file}}

    def _on_createartifactfiles(self, asked: dict[str, Any]) -> dict[str, Any]:
        edges = []
        for spec in asked["input"]["artifactFiles"]:
            node = {
                "storagePath": f"stored/{spec['name']}",
                "uploadUrl": self._upload("artifact", spec["artifactID"], spec["name"]),
                "uploadHeaders": [],
                "uploadMultipartUrls": None,
                "artifact": {"id": spec["artifactID"]},
            }
            edges.append({"node": node})
        return {"createArtifactFiles": {"files": {"edges": edges}}}

    def _on_commitartifact(self, asked: dict[str, Any]) -> dict[str, Any]:
        self.artifacts[asked["artifactID"]].committed = True
        return {"commitArtifact": {"artifact": {"id": asked["artifactID"], "digest": "-"}}}

    def _on_getprojects(self, _: dict[str, Any]) -> dict[str, Any]:
        page = {"__typename": "PageInfo", "endCursor": None, "hasNextPage": False}
        edges = []
        for name in sorted({run.project for run in self.runs.values()}):
            node = {"__typename": "Project", "id": f"project-{name}", "name": name}
            node |= {"entityName": ENTITY, "createdAt": "2026-01-01T00:00:00Z"}
            edges.append({"node": {**node, "isBenchmark": False, "user": None}})
        return {"models": {"pageInfo": page, "edges": edges}}

    def _on_createproject(self, asked: dict[str, Any]) -> dict[str, Any]:
        project = {"id": "project", "name": asked["input"]["name"], "entityName": ENTITY}
        project |= {"description": None, "access": None, "views": None}
        return {"result": {"project": project, "model": project, "inserted": True}}

    def _on_upsertview(self, asked: dict[str, Any]) -> dict[str, Any]:
        self.views.append(asked)
        project = {"id": "project", "name": asked["projectName"], "entityName": ENTITY}
        told = ("name", "displayName", "description", "type", "spec")
        view = {"id": f"view-{len(self.views)}", **{key: asked[key] for key in told}}
        view |= {"project": project, "updatedAt": "2026-01-01T00:00:00Z"}
        return {"upsertView": {"view": view, "inserted": True}}

    def _upload(self, kind: str, owner: str, name: str) -> str:
        return f"{self.url}/{kind}/{owner}/{urllib.parse.quote(name)}"


#: Settings of the client that make it give up soon, stay on this machine, and send at once.
CLIENT = {
    "WANDB_API_KEY": "0" * 40,
    "WANDB_ERROR_REPORTING": "false",
    "WANDB_INIT_TIMEOUT": "2",
    "WANDB_FINISH_TIMEOUT": "2",
    "WANDB_X_FILE_STREAM_TRANSMIT_INTERVAL": "0.1",
    "WANDB_X_TRANSACTION_LOG_FLUSH_INTERVAL": "0.1",
    "NO_PROXY": "127.0.0.1",
    **{
        f"WANDB_X_{part}_RETRY_{limit}": value
        for part in ("GRAPHQL", "FILE_STREAM", "FILE_TRANSFER")
        for limit, value in (("MAX", "2"), ("WAIT_MIN_SECONDS", "0.1"), ("WAIT_MAX_SECONDS", "0.2"))
    },
}


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Standin]:
    """A server, and a user who is logged in to it."""
    wandb.teardown()  # the client reads its environment once
    standin = Standin()
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    settings = {**CLIENT, "WANDB_BASE_URL": standin.url, "HOME": str(tmp_path)}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(recorder, "_avoid_until", {})
    yield standin
    standin.trouble = None
    wandb.teardown()
    standin.stop()
    assert standin.unknown == [], standin.unknown


class _Http(ThreadingHTTPServer):
    standin: Standin
    daemon_threads = True
    block_on_close = False

    def __init__(self, *arguments: Any) -> None:
        self._open: set[Any] = set()
        super().__init__(*arguments)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def close_connections(self) -> None:
        for request in list(self._open):
            self.shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # the other side went away


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Http

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        standin = self.server.standin
        if standin.trouble == "silence":
            standin.asked.append(f"{self.command} {self.path}")
            while standin.trouble == "silence" and not standin._stopped.is_set():
                time.sleep(0.05)
            return None
        if standin.trouble == "error":
            standin.asked.append(f"{self.command} {self.path}")
            return self._send(500, {"error": "out of order"})
        try:
            self._send(200, standin.answer(self.command, self.path, body))
        except KeyError as error:
            self._send(400, {"errors": [{"message": f"unknown here: {error}"}]})

    do_GET = do_POST = do_PUT = _serve

    def _send(self, status: int, content: dict[str, Any]) -> None:
        text = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: Any) -> None:
        pass
