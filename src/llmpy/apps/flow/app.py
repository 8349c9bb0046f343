"""The page's server: the page, the kinds of nodes, checks, runs as event streams, the file."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec

import llmpy
from llmpy.apps.flow.cache import Cache
from llmpy.apps.flow.checking import Checked, check
from llmpy.apps.flow.executing import Execution
from llmpy.apps.flow.graph import Flow, FlowError, load, of_data, save
from llmpy.apps.flow.kinds import Kind, Port, all_kinds
from llmpy.apps.flow.work import Allowed, Event, Models
from llmpy.apps.webapp.events import Feed, encoded
from llmpy.apps.webapp.pages import HEADERS, Pages
from llmpy.apps.webapp.routes import Routes
from llmpy.server import ApiError, Call, State

__all__ = ["FlowApp"]

MOST_BODY = 16 << 20
MOST_SHOWN = 200_000  # characters of a value on the page
UNHEARD = 20.0  # seconds that a run waits for its first listener
EXAMPLES = Path(__file__).with_name("examples")


class FlowApp:
    """The flow's part of a server; an `Extension` of it. `file`: where the flow is kept."""

    def __init__(self, file: Path, models: Models, *, allowed: Allowed, cache: Cache) -> None:
        self.file, self.models, self.allowed, self.cache = file, models, allowed, cache
        self._own = Pages("llmpy.apps.flow")
        self._shared = Pages()
        self._runs: dict[str, Run] = {}
        self._memory: dict[str, dict[str, Any]] = {}
        self._routes = Routes(
            {
                "/flow/state": {"GET": self.state},
                "/flow/check": {"POST": self.check},
                "/flow/file": {"GET": self.read_file, "POST": self.write_file},
                "/flow/read": {"POST": self.read},
                "/flow/examples/*": {"GET": self.example},
                "/flow/runs": {"POST": self.start},
                "/flow/runs/*": {"GET": self.listen, "DELETE": self.stop},
                "/flow/memory/*": {"DELETE": self.forget},
            }
        )

    # The life of an extension

    async def begin(self, state: State) -> None:
        """Nothing is to be made ready."""

    async def end(self) -> None:
        """Stop all runs."""
        for run in list(self._runs.values()):
            run.stop()
        await asyncio.gather(*(run.ended() for run in list(self._runs.values())))

    def is_open(self, path: str) -> bool:
        """Return whether a path needs no key: the page, which asks for the key."""
        return path == "/" or path.startswith(("/web/", "/flow/web/"))

    def find(self, call: Call) -> tuple[Callable[..., Awaitable[None]], list[str]] | None:
        """Return what answers a call; None for the server's own paths."""
        path = call.path
        for prefix, pages in (("/flow/web/", self._own), ("/web/", self._shared), ("/", self._own)):
            if path == prefix if prefix == "/" else path.startswith(prefix):
                if call.method not in ("GET", "HEAD"):
                    raise ApiError(405, "the page is only read", headers={"Allow": "GET, HEAD"})
                name = path.removeprefix(prefix) or "index.html"
                return lambda call, state: pages.answer(call, name), []  # noqa: ARG005, B023
        if not path.startswith("/flow/"):
            return None
        if call.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            raise ApiError(403, "pages of other sites may not use this", code="origin_not_allowed")
        call.more_headers |= {**HEADERS, "Cache-Control": "no-store"}
        return self._routes.find(call)

    # What the page asks

    async def state(self, call: Call, state: State) -> None:  # noqa: ARG002
        """GET /flow/state."""
        stored = await asyncio.to_thread(llmpy.models)
        names = [model.name for model in stored if model.good_for != "embeddings"]
        embedders = [model.name for model in stored if model.good_for == "embeddings"]
        default = self.models.default or llmpy.default_name()
        embedder = self.models.default_embedder
        examples = sorted(map(_example, EXAMPLES.glob("*.json")), key=lambda one: one["nodes"])
        await call.answer(
            {
                "version": llmpy.__version__,
                "file": str(self.file),
                "kinds": [_kind(name, kind) for name, kind in all_kinds().items()],
                "models": names,
                "embedders": embedders,
                "default": default and _short(default),
                "embedder": embedder and _short(embedder),
                "files": str(self.allowed.files),
                "off": {n: why for n in ("python", "http") if (why := self.allowed.why_not(n))},
                "examples": examples,
            }
        )

    async def check(self, call: Call, state: State) -> None:  # noqa: ARG002
        """POST /flow/check: the ports of each node, and what is wrong."""
        await call.answer(_checked(check(await self._flow(call))))

    async def read(self, call: Call, state: State) -> None:  # noqa: ARG002
        """POST /flow/read: a flow that came from outside, as this program has it."""
        await call.answer({"flow": await self._flow(call)})

    async def read_file(self, call: Call, state: State) -> None:  # noqa: ARG002
        """GET /flow/file: the flow as it was left."""
        if not self.file.exists():
            await call.answer(Flow([]))
            return
        try:
            await call.answer(await asyncio.to_thread(load, self.file))
        except (FlowError, OSError) as error:
            raise ApiError(422, str(error), code="invalid_flow") from None

    async def write_file(self, call: Call, state: State) -> None:  # noqa: ARG002
        """POST /flow/file."""
        flow = await self._flow(call)
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            save(flow, self.file)
        except OSError as error:
            raise ApiError(507, f"the flow could not be written: {error}") from None
        await call.answer({"nodes": len(flow.nodes)})

    async def example(self, call: Call, state: State, name: str) -> None:  # noqa: ARG002
        """GET /flow/examples/NAME."""
        found = {path.stem: path for path in EXAMPLES.glob("*.json")}
        if name not in found:
            raise ApiError(404, f"there is no example {name[:80]!r}", code="not_found")
        await call.answer(load(found[name]))

    async def start(self, call: Call, state: State) -> None:  # noqa: ARG002
        """POST /flow/runs: {nodes, edges, targets, fresh}."""
        body = await call.json(MOST_BODY)
        names = {}
        for name in ("targets", "fresh"):
            ids = names[name] = body.pop(name, [])
            if not isinstance(ids, list) or not all(isinstance(id, str) for id in ids):
                raise ApiError(400, f"{name}: expected a list of ids", param=name)
        flow = self._of(body)

        def made(tell: Callable[[Event], object]) -> Execution:
            return Execution(flow, self.models, allowed=self.allowed, cache=self.cache, tell=tell,
                             memory=self._memory, **names)  # fmt: skip

        try:
            run = Run(made)
            run.start(self._runs)
        except FlowError as error:
            raise ApiError(400, str(error), code="invalid_flow") from None
        await call.answer({"run": run.id}, 201)

    async def listen(self, call: Call, state: State, id: str) -> None:  # noqa: ARG002
        """GET /flow/runs/ID: all that happens, as events; who leaves stops the run."""
        await self._run(id).listen(call)

    async def stop(self, call: Call, state: State, id: str) -> None:  # noqa: ARG002
        """DELETE /flow/runs/ID."""
        run = self._run(id)
        run.stop()
        await run.ended()
        await call.answer({"stopped": id})

    async def forget(self, call: Call, state: State, id: str) -> None:  # noqa: ARG002
        """DELETE /flow/memory/ID: the conversation of a node."""
        self._memory.pop(id, None)
        await call.answer({"forgotten": id})

    def _run(self, id: str) -> Run:
        if id not in self._runs:
            raise ApiError(404, f"there is no run {id[:80]!r}", code="not_found")
        return self._runs[id]

    async def _flow(self, call: Call) -> Flow:
        return self._of(await call.json(MOST_BODY))

    def _of(self, body: Any) -> Flow:
        try:
            return of_data(body)
        except FlowError as error:
            raise ApiError(400, str(error), code="invalid_flow") from None


class Run:
    """A run of a flow in a thread, and its events."""

    def __init__(self, make: Callable[[Callable[[Event], object]], Execution]) -> None:
        self.id = secrets.token_hex(8)
        self._loop = asyncio.get_running_loop()
        self._events: list[tuple[str, Any]] = []
        self._feed = Feed()
        self._is_over = False
        self._work = make(self._tell)
        self._task: asyncio.Task[None] | None = None
        self._unheard: asyncio.TimerHandle | None = None

    def start(self, runs: dict[str, Run]) -> None:
        """Begin; FlowError where the flow cannot be run."""
        if problem := self._work.problem():
            raise FlowError(problem)
        runs[self.id] = self
        self._task = asyncio.create_task(self._running(runs))
        self._unheard = self._loop.call_later(UNHEARD, self.stop)

    def stop(self) -> None:
        """Stop it; it ends soon."""
        self._work.cancel()

    async def ended(self) -> None:
        """Wait until it has ended."""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def listen(self, call: Call) -> None:
        """Send all events, to the end."""
        seen = 0
        if self._unheard is not None:
            self._unheard.cancel()

        def take() -> bytes | None:
            nonlocal seen
            new = self._events[seen:]
            if not new:
                return None if self._is_over else b""
            data = b"".join(
                encoded(number, kind, what) for number, kind, what in _joined(new, seen)
            )
            seen += len(new)
            return data

        try:
            await self._feed.stream(call, take)
        finally:
            self.stop()

    async def _running(self, runs: dict[str, Run]) -> None:
        outcome: tuple[str, Any] = "end", {"state": "done"}
        try:
            await asyncio.to_thread(self._work.run)
        except llmpy.Cancelled:
            outcome = "end", {"state": "stopped"}
        except FlowError as error:
            outcome = "end", {"state": "error", "error": str(error)}
        await asyncio.sleep(0)  # events of the thread come first
        self._events.append(outcome)
        self._is_over = True
        self._feed.wake()
        if self._unheard is not None:
            self._unheard.cancel()
        self._loop.call_later(UNHEARD, runs.pop, self.id, None)

    def _tell(self, event: Event) -> None:
        """Take an event of any thread."""

        def take() -> None:
            self._events.append((event.kind, {"node": event.node, "data": _cut(event.data)}))
            self._feed.wake()

        self._loop.call_soon_threadsafe(take)


def _joined(events: list[tuple[str, Any]], seen: int) -> list[tuple[int, str, Any]]:
    """Events with their numbers; texts of a node that follow each other are one."""
    found: list[tuple[int, str, Any]] = []
    for number, (kind, what) in enumerate(events, seen + 1):
        if kind == "text" and found and found[-1][1] == "text":
            last = found[-1][2]
            if last["node"] == what["node"]:
                found[-1] = number, kind, {**what, "data": last["data"] + what["data"]}
                continue
        found.append((number, kind, what))
    return found


def _cut(data: Any) -> Any:
    """Cut long values of a result for the page; they say so."""
    if not isinstance(data, dict) or "values" not in data:
        return data
    values = {}
    for name, value in data["values"].items():
        if isinstance(value, str):
            n = len(value)
            values[name] = value if n <= MOST_SHOWN else f"{value[:MOST_SHOWN]}… ({n} characters)"
        else:
            n = len(msgspec.json.encode(value))
            values[name] = value if n <= MOST_SHOWN else f"({n} bytes, too many to show)"
    return {**data, "values": values}


def _checked(found: Checked) -> dict[str, Any]:
    nodes = {}
    for node in found.flow.nodes:
        ports = found.ports.get(node.id)
        nodes[node.id] = {
            "inputs": [_port(port) for port in ports.inputs] if ports else [],
            "outputs": [_port(port) for port in ports.outputs] if ports else [],
            "problem": found.nodes.get(node.id),
        }
    return {"nodes": nodes, "edges": {str(i): said for i, said in found.edges.items()}}


def _port(port: Port) -> dict[str, Any]:
    return {"name": port.name, "type": port.type, "required": port.required}


def _kind(name: str, kind: Kind) -> dict[str, Any]:
    ports = kind.ports_of(kind.settings({}, "settings"))
    return {
        "name": name, "title": kind.title, "group": kind.group, "icon": kind.icon,
        "about": kind.about, "needs": kind.needs,
        "inputs": [_port(port) for port in ports.inputs],
        "outputs": [_port(port) for port in ports.outputs],
        "fields": [
            {"name": f.name, "type": f.type, "default": f.default, "choices": f.choices,
             "optional": f.optional, **asdict(f.shown)}
            for f in kind.fields
        ],
    }  # fmt: skip


def _example(path: Path) -> dict[str, Any]:
    flow = msgspec.json.decode(path.read_bytes())
    return {
        "name": path.stem,
        "title": path.stem.replace("-", " ").capitalize(),
        "about": flow.get("about", ""),
        "nodes": len(flow["nodes"]),
    }


def _short(name: str) -> str:
    """A model's name for people: of a file, its name."""
    return Path(name).name if "/" in name and Path(name).exists() else name
