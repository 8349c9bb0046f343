"""A server of the app's interface whose answers a test writes, character by character if it likes.

It speaks docs/app-api.md as far as the page of a chat needs it, and keeps all in memory.
"""

from __future__ import annotations

import json
import mimetypes
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from llmpy.apps.webapp.pages import POLICY

WEB = Path(__file__).parents[4] / "src" / "llmpy" / "apps" / "webapp" / "web"
GIB = 1 << 30
SECONDS = 60  # that the page may take on a machine that does other work
Record = dict[str, Any]


def model(name: str, **fields: Any) -> Record:
    """A model that is installed."""
    return {
        "name": name, "path": f"/models/{name}.gguf", "size": 98_000_000, "license": "Apache-2.0",
        "good_for": "chat", "in_place": False, "loaded": False, "loading": False, "n_ctx": 8192,
        "needed": 310_000_000, "fits": "fits", "source": "", "added": "", "users": 0, **fields,
    }  # fmt: skip


class Run:
    """An answer; the test adds its events."""

    def __init__(self, server: Scripted, thread: Record, answer: Record) -> None:
        self.id = answer["run"]
        self.thread, self.answer = thread, answer
        self.request: Record = {}
        self.is_over = self.was_stopped = False
        self.events: list[tuple[str, Any]] = []
        self._server = server

    def tell(self, kind: str, data: Any) -> None:
        """Add an event."""
        with self._server.changed:
            if kind in ("text", "thinking"):
                key = "content" if kind == "text" else "thinking"
                self.answer[key] += data["text"]
            if kind == "tool":
                calls = [c for c in self.answer["tool_calls"] if c["id"] != data["id"]]
                self.answer["tool_calls"] = [*calls, data]
            self.events.append((kind, data))
            self.answer["n_events"] = len(self.events)
            self._server.changed.notify_all()

    def text(self, text: str) -> None:
        """More of the answer."""
        self.tell("text", {"text": text})

    def thinking(self, text: str) -> None:
        """More of what is thought."""
        self.tell("thinking", {"text": text})

    def end(self, state: str = "done", error: Record | None = None, **stats: Any) -> None:
        """The answer is over."""
        with self._server.changed:
            known = {"n_prompt": 10, "n_generated": 5, "tokens_per_second": 42.0, "n_ctx": 8192}
            self.answer |= {"state": state, "error": error, "stats": known | stats, "run": None}
            self.answer.pop("n_events", None)
            self.thread["running"] = None
        self.tell("done", {k: v for k, v in self.answer.items() if k != "n_events"})
        with self._server.changed:
            self.is_over = True
            self.answer.pop("n_events", None)
            self._server.changed.notify_all()
        told = {"thread": self.thread["id"], "run": self.id, "answer": self.answer["id"]}
        self._server.tell("run", {**told, "state": state})


class Scripted:
    """The server; `url` is where it is, `runs` what was asked of it."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.threads: dict[str, Record] = {}
        self.deleted: dict[str, Record] = {}
        self.runs: list[Run] = []
        self.posts: list[tuple[str, str, Any]] = []
        self.paths: list[str] = []
        self.told: list[tuple[str, Any]] = []
        self.refusal: tuple[int, Record] | None = None  # of the next run
        self.state: Record = {
            "version": "1.0", "instance": "a", "model": "small",
            "models": [model("small", loaded=True), model("large", fits="too big", size=9 * GIB)],
            "catalogue": [], "pulls": [], "jobs": [], "tools": [], "needs_key": False,
            "settings": {"theme": "system", "keys": [], "restart": False},
            "memory": {"total": 16 * GIB, "free": 8 * GIB},
        }  # fmt: skip
        self._n = 0
        self._http = ThreadingHTTPServer(
            ("127.0.0.1", 0), type("Bound", (Handler,), {"scripted": self})
        )
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}/"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,))
        self._thread.start()
        self.is_closed = False

    def close(self) -> None:
        """End all streams and the server."""
        with self.changed:
            self.is_closed = True
            self.changed.notify_all()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def id(self, kind: str) -> str:
        """A new id."""
        self._n += 1
        return f"{kind}_{self._n:06d}"

    def hold(self) -> Callable[[], None]:
        """Hold all answers back until what this returns is called."""
        held, answer = threading.Event(), self.answer

        def holding(method: str, path: str, body: Any) -> tuple[int, Any]:
            held.wait(SECONDS)
            return answer(method, path, body)

        self.answer = holding  # type: ignore[method-assign]
        return held.set

    def tell(self, kind: str, data: Any) -> None:
        """Tell all tabs of a change."""
        with self.changed:
            self.told.append((kind, data))
            self.changed.notify_all()

    def thread(self, *texts: str, title: str = "A chat", **fields: Any) -> Record:
        """A chat with questions and answers in turn."""
        now = time.time()
        made = {
            "id": self.id("t"), "title": title, "folder": None, "pinned": False, "system": None,
            "sampling": {}, "schema": None, "use_schema": False, "model": "small", "leaf": None,
            "created": now, "updated": now, "running": None, "messages": [],
        } | fields  # fmt: skip
        self.threads[made["id"]] = made
        for i, text in enumerate(texts):
            self.message(made, "assistant" if i % 2 else "user", text)
        return made

    def message(self, thread: Record, role: str, content: str, **fields: Any) -> Record:
        """A message after the leaf of a chat."""
        made = {
            "id": self.id("m"), "parent": thread["leaf"], "role": role, "content": content,
            "thinking": "", "tool_calls": [], "files": [], "schema": None,
            "model": "small" if role == "assistant" else None, "settings": {}, "stats": None,
            "state": "done", "error": None, "created": self._n, "run": None,
        } | fields  # fmt: skip
        thread["messages"].append(made)
        thread["leaf"] = made["id"]
        return made

    def run(self, n: int = 0) -> Run:
        """The run number `n` once it was asked for."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.runs) > n, SECONDS), "no run"
            return self.runs[n]

    # what the page asks for

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        """Status and JSON of a request."""
        parts = path.partition("?")[0].strip("/").split("/")[1:]
        match [method, *parts]:
            case ["GET", "state"]:
                return 200, self.state
            case ["GET", "threads"]:
                return 200, {"threads": [self._without(t) for t in self.threads.values()]}
            case ["POST", "threads"]:
                made = self.thread(title=None)  # type: ignore[arg-type]
                made |= body
                return 201, self._without(made)
            case ["POST", "threads", "delete"]:
                gone = [i for i in body["ids"] if body["pinned"] or not self.threads[i]["pinned"]]
                for one in gone:
                    self.deleted[one] = self.threads.pop(one)
                return 200, {"deleted": gone, "until": time.time() + 10}
            case ["DELETE", "threads", id]:
                self.deleted[id] = self.threads.pop(id)
                return 200, {"deleted": [id], "until": time.time() + 10}
            case ["POST", "threads", id, "restore"]:
                self.threads[id] = self.deleted.pop(id)
                return 200, self._without(self.threads[id])
            case ["GET", "threads", id] if id in self.threads:
                return 200, self.threads[id]
            case ["PATCH", "threads", id]:
                self.threads[id] |= body
                return 200, self._without(self.threads[id])
            case ["PATCH", "threads", id, "messages", mid]:
                found = next(m for m in self.threads[id]["messages"] if m["id"] == mid)
                found |= body
                return 200, found
            case ["POST", "threads", id, "runs"]:
                return self._begin(self.threads[id], body)
            case ["POST", "threads", _, "draft"]:
                return 204, None
            case ["POST", "runs", id, "stop"]:
                run = next(r for r in self.runs if r.id == id)
                run.was_stopped = True
                run.end("stopped")
                return 200, run.answer
            case ["GET", "search"]:
                return 200, {"hits": [], "more": False}
            case ["GET", "logs"]:
                return 200, {"lines": [], "next": 0}
            case ["PATCH", "settings"]:
                self.state["settings"] |= body
                return 200, self.state["settings"]
        return 404, {"error": {"message": f"no {method} {path}", "code": "not_found"}}

    def _without(self, thread: Record) -> Record:
        return {k: v for k, v in thread.items() if k != "messages"}

    def _begin(self, thread: Record, body: Record) -> tuple[int, Any]:
        if self.refusal is not None:
            (status, error), self.refusal = self.refusal, None
            return status, {"error": error}
        question = None
        if "content" in body:
            if "parent" in body:
                thread["leaf"] = body["parent"]
            files = body.get("files", [])
            question = self.message(thread, "user", body["content"], files=files)
            thread["title"] = thread["title"] or body["content"][:60]
        elif "question" in body:
            thread["leaf"] = body["question"]
        if "continue" in body:
            answer = next(m for m in thread["messages"] if m["id"] == body["continue"])
        else:
            schema = thread["schema"] if thread["use_schema"] else None
            answer = self.message(thread, "assistant", "", schema=schema)
        answer |= {"state": "running", "run": self.id("r"), "n_events": 0}
        run = Run(self, thread, answer)
        run.request = body
        thread["running"] = run.id
        with self.changed:
            self.runs.append(run)
            self.changed.notify_all()
        shown = self._without(thread)
        return 201, {"run": run.id, "question": question, "answer": dict(answer), "thread": shown}


class Handler(BaseHTTPRequestHandler):
    """The requests of the page."""

    scripted: Scripted
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # heads and bodies are written one after the other

    def log_message(self, *_: object) -> None:
        pass

    def send(self, status: int, data: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Content-Security-Policy", POLICY)
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self) -> None:
        self.scripted.paths.append(self.path)
        path, _, query = self.path.partition("?")
        if path == "/" or path.startswith("/web/"):
            file = WEB / ("index.html" if path == "/" else path.removeprefix("/web/"))
            if not file.is_file():
                return self.send(404, b"", "text/plain")
            kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
            return self.send(200, file.read_bytes(), kind)
        if path == "/app/events":
            return self.stream(lambda: self.scripted.told, lambda: False, len(self.scripted.told))
        if path.startswith("/app/runs/"):
            run = next((r for r in self.scripted.runs if r.id == path.split("/")[3]), None)
            if run is None:
                return self.other("GET")
            seen = int(query.partition("from=")[2] or 0)
            return self.stream(lambda: run.events, lambda: run.is_over, seen)
        return self.other("GET")

    def stream(self, events: Any, is_over: Any, seen: int) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        if events() is self.scripted.told:
            hello = json.dumps({"instance": self.scripted.state["instance"]})
            self.wfile.write(f"event: hello\ndata: {hello}\n\n".encode())
        try:
            while True:
                with self.scripted.changed:
                    self.scripted.changed.wait_for(
                        lambda seen=seen: (
                            len(events()) > seen or is_over() or self.scripted.is_closed
                        )
                    )
                    fresh = events()[seen:]
                    ended = (is_over() and not fresh) or self.scripted.is_closed
                for kind, data in fresh:
                    seen += 1
                    text = f"id: {seen}\nevent: {kind}\ndata: {json.dumps(data)}\n\n"
                    self.wfile.write(text.encode())
                self.wfile.flush()
                if ended:
                    return
        except OSError:
            return

    def other(self, method: str) -> None:
        body = None
        if length := int(self.headers.get("Content-Length") or 0):
            body = json.loads(self.rfile.read(length))
        if method != "GET":
            self.scripted.posts.append((method, self.path, body))
        status, answer = self.scripted.answer(method, self.path, body)
        data = b"" if answer is None else json.dumps(answer).encode()
        self.send(status, data, "application/json")

    def do_POST(self) -> None:
        self.other("POST")

    def do_PATCH(self) -> None:
        self.other("PATCH")

    def do_DELETE(self) -> None:
        self.other("DELETE")
