"""Long work on a model, one at a time: quantizing it, and measuring how fast it is here."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import llmpy
from llmpy.apps.webapp.benchmark import measured
from llmpy.apps.webapp.records import Record, new_id
from llmpy.apps.webapp.working import aside
from llmpy.server import ApiError

if TYPE_CHECKING:
    from llmpy.apps.webapp.assembly import WebApp

__all__ = ["Jobs"]

log = logging.getLogger("llmpy.app")

KEPT = 20  # jobs that have ended and are still shown
Report = Callable[[int, int, str], None]


class Cancelled(Exception):
    """A job was cancelled."""


class Job:
    """One job: `state` is "running", "done", "error" or "cancelled"."""

    def __init__(self, wanted: Record) -> None:
        self.id = new_id("j")
        self.wanted = wanted
        self.state = "running"
        self.halt = threading.Event()
        self.task: asyncio.Task[None]
        self.shown: Record = {"done": 0, "total": 0, "text": "", "result": None, "error": None}

    def described(self) -> Record:
        """As the interface has it."""
        kind, model = self.wanted["kind"], self.wanted["model"]
        return {"id": self.id, "kind": kind, "model": model, "state": self.state, **self.shown}


class Jobs:
    """The jobs, which wait for each other."""

    def __init__(self, app: WebApp) -> None:
        self._app = app
        self._jobs: dict[str, Job] = {}
        self._turn = asyncio.Lock()

    def all(self) -> list[Record]:
        """The jobs, those that have ended too."""
        return [job.described() for job in self._jobs.values()]

    def find(self, id: str) -> Job:
        """The job of an id; ApiError 404."""
        if (found := self._jobs.get(id)) is not None:
            return found
        raise ApiError(404, f"there is no job {id[:80]!r}", code="not_found")

    def start(self, wanted: Record) -> Job:
        """Begin a job; ApiError for one that cannot be."""
        offer = self._app.library.find(wanted["model"])
        if wanted["kind"] == "quantize":
            wanted = {**wanted, "save_as": _new_name(wanted, offer.name)}
            if wanted["save_as"] in self._app.library.server.models.offers:
                raise _wrong("save_as", f"there is a model {wanted['save_as']!r} already")
        elif wanted["kind"] != "benchmark":
            raise _wrong("kind", f"expected quantize or benchmark, found {wanted['kind'][:40]!r}")
        job = Job(wanted)
        self._jobs[job.id] = job
        ended = [known for known in self._jobs.values() if known.state != "running"]
        for known in ended[:-KEPT]:
            del self._jobs[known.id]
        job.task = asyncio.create_task(self._work(job, offer.path))
        self._tell(job)
        return job

    async def cancel(self, job: Job) -> None:
        """Stop a job."""
        job.halt.set()
        if job.state == "running":
            job.task.cancel()
            await asyncio.wait([job.task])

    async def close(self) -> None:
        """Stop all jobs."""
        await asyncio.gather(*(self.cancel(job) for job in list(self._jobs.values())))

    async def _work(self, job: Job, path: Path) -> None:
        loop = asyncio.get_running_loop()

        def report(done: int, total: int, text: str) -> None:
            if job.halt.is_set():
                raise Cancelled
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(self._progress, job, done, total, text)

        try:
            async with self._turn:
                if job.wanted["kind"] == "quantize":
                    work = self._quantized(job, path, report)
                else:
                    work = self._measured(job, report)
                job.shown["result"] = await work
            job.state = "done"
        except (asyncio.CancelledError, Cancelled):
            job.state = "cancelled"
        except Exception as error:
            job.state = "error"
            known = isinstance(error, llmpy.LlmpyError | OSError | ValueError | ApiError)
            if not known:
                log.error("a job failed", exc_info=error)
            text = str(error) if known else f"{type(error).__name__}: {error}"
            job.shown["error"] = {"code": "failed", "message": text}
        self._tell(job)

    async def _quantized(self, job: Job, path: Path, report: Report) -> Record:
        name, kind = job.wanted["save_as"], job.wanted["type"]
        out = path.with_name(f"{path.stem if path.is_file() else path.name}-{kind}.gguf")
        if self._app.library.is_elsewhere(path):
            out = self._app.folder / "models" / out.name
        out.parent.mkdir(parents=True, exist_ok=True)
        if out.exists():
            raise ApiError(409, f"{out}: there is a file of this name already", code="exists")

        def progress(event: llmpy.QuantizeEvent) -> None:
            report(event.done, event.total, event.name)

        threads = self._app.settings.values.n_threads
        call = aside(
            partial(
                llmpy.quantize,
                path,
                out,
                kind,
                n_threads=threads,
                progress=progress,
                allow_requantize=True,
            )
        )
        await _uncancelled(call, job.halt)
        entered = partial(llmpy.copy_model, out, name, owned=True)
        license = self._app.library.license_of(path)
        stored = await asyncio.to_thread(entered, license=license)
        await self._app.library.refresh()
        self._app.tell_models()
        return {"name": stored.name, "size": stored.size, "path": str(out)}

    async def _measured(self, job: Job, report: Report) -> Record:
        app = self._app
        async with app.library.server.models.use(job.wanted["model"]) as loaded:
            threads = app.settings.values.n_threads or llmpy.available_cpus()
            call = aside(partial(measured, loaded.model, threads, report))
            return dict(await _uncancelled(call, job.halt))

    def _progress(self, job: Job, done: int, total: int, text: str) -> None:
        if job.state == "running":
            job.shown |= {"done": done, "total": total, "text": text}
            self._tell(job)

    def _tell(self, job: Job) -> None:
        self._app.bus.tell("job", job.described())


async def _uncancelled(call: Awaitable[Any], halt: threading.Event) -> Any:
    """Wait for work in a thread, which ends by itself soon once it is told to."""
    work = asyncio.ensure_future(call)
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        halt.set()
        await asyncio.wait([work])
        work.exception()
        raise


def _new_name(wanted: Record, model: str) -> str:
    if not wanted.get("type"):
        raise _wrong("type", "expected a type such as q4_k_m")
    if wanted.get("save_as"):
        return str(wanted["save_as"])
    return f"{model.partition(':')[0].rpartition('/')[2]}:{wanted['type'].upper()}"


def _wrong(field: str, problem: str) -> ApiError:
    return ApiError(400, f"{field}: {problem}", param=field, code="invalid_value")
