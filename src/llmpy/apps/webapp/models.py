"""The paths about models: loading, downloading, deleting, and looking into them."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import llmpy
from llmpy.apps.webapp import fields
from llmpy.apps.webapp.records import Record
from llmpy.server import ApiError, Call, State

if TYPE_CHECKING:
    from llmpy.apps.webapp.assembly import WebApp

__all__ = ["ModelPaths"]

Handler = Callable[..., Awaitable[None]]
LONGEST_VALUE = 2000  # characters of a metadata value that are shown
MOST_ITEMS = 16


class ModelPaths:
    """Answers what a page asks of models."""

    def __init__(self, app: WebApp) -> None:
        self._app = app

    def table(self) -> dict[str, dict[str, Handler]]:
        """The paths."""
        return {
            "/app/models/load": {"POST": self.load},
            "/app/models/unload": {"POST": self.unload},
            "/app/models/default": {"POST": self.default},
            "/app/models/delete": {"POST": self.delete},
            "/app/models/show": {"POST": self.show},
            "/app/pulls": {"GET": self.pulls, "POST": self.pull},
            "/app/pulls/*/pause": {"POST": self.pause},
            "/app/pulls/*/resume": {"POST": self.resume},
            "/app/pulls/*/cancel": {"POST": self.cancel_pull},
            "/app/jobs": {"GET": self.jobs, "POST": self.job},
            "/app/jobs/*/cancel": {"POST": self.cancel_job},
        }

    async def load(self, call: Call, state: State) -> None:
        """POST /app/models/load."""
        offer = self._app.library.find((await fields.read(call, fields.Named)).name)
        async with state.models.use(offer.name):
            pass
        self._app.used(offer.name)
        self._app.tell_models()
        await call.answer(self._app.library.described(offer))

    async def unload(self, call: Call, state: State) -> None:
        """POST /app/models/unload."""
        offer = self._app.library.find((await fields.read(call, fields.Named)).name)
        await self._app.drafts.close()
        await state.models.unload(offer.name)
        self._app.tell_models()
        await call.answer(self._app.library.described(offer))

    async def default(self, call: Call, state: State) -> None:  # noqa: ARG002
        """POST /app/models/default."""
        offer = self._app.library.find((await fields.read(call, fields.Named)).name)
        self._app.used(offer.name)
        self._app.tell_models()
        await call.answer(self._app.library.described(offer))

    async def delete(self, call: Call, state: State) -> None:  # noqa: ARG002
        """POST /app/models/delete."""
        body = await fields.read(call, fields.Named)
        offer = self._app.library.find(body.name)
        await self._app.drafts.close()
        runs = self._app.runs.of_model(offer.name)
        if (offer.n_users or runs) and not body.force:
            raise ApiError(
                409,
                f"the model {offer.name!r} is answering now: stop that first, or use force",
                code="model_in_use",
            )
        await asyncio.gather(*(run.stop() for run in runs))
        freed = await self._app.library.remove(offer.name)
        self._app.tell_models()
        await call.answer({"freed": freed})

    async def show(self, call: Call, state: State) -> None:  # noqa: ARG002
        """POST /app/models/show."""
        offer = self._app.library.find((await fields.read(call, fields.Named)).name)
        values = self._app.settings.values
        try:
            found = await asyncio.to_thread(
                _looked_into, offer.path, values.n_ctx, values.kv_dtype or "auto"
            )
        except (llmpy.LlmpyError, OSError) as error:
            raise ApiError(500, str(error), code="model_failed") from None
        library = self._app.library
        answer = {"model": library.described(offer), "files": library.files(offer), **found}
        await call.answer(answer)

    # Downloads

    async def pulls(self, call: Call, state: State) -> None:  # noqa: ARG002
        """GET /app/pulls."""
        await call.answer({"pulls": self._app.pulls.all()})

    async def pull(self, call: Call, state: State) -> None:  # noqa: ARG002
        """POST /app/pulls."""
        body = await fields.read(call, fields.Pull)
        if not body.name.strip():
            raise ApiError(400, "name: expected one", param="name", code="invalid_value")
        pull = self._app.pulls.start(fields.given(body))
        await call.answer(pull.described(), 201)

    async def pause(self, call: Call, state: State, id: str) -> None:  # noqa: ARG002
        """POST /app/pulls/PID/pause."""
        pull = self._app.pulls.find(id)
        await self._app.pulls.pause(pull)
        await call.answer(pull.described())

    async def resume(self, call: Call, state: State, id: str) -> None:  # noqa: ARG002
        """POST /app/pulls/PID/resume."""
        pull = self._app.pulls.find(id)
        self._app.pulls.resume(pull)
        await call.answer(pull.described())

    async def cancel_pull(self, call: Call, state: State, id: str) -> None:  # noqa: ARG002
        """POST /app/pulls/PID/cancel."""
        pull = self._app.pulls.find(id)
        await self._app.pulls.cancel(pull)
        await call.answer(pull.described())

    # Jobs

    async def jobs(self, call: Call, state: State) -> None:  # noqa: ARG002
        """GET /app/jobs."""
        await call.answer({"jobs": self._app.jobs.all()})

    async def job(self, call: Call, state: State) -> None:  # noqa: ARG002
        """POST /app/jobs."""
        job = self._app.jobs.start(fields.given(await fields.read(call, fields.Job)))
        await call.answer(job.described(), 201)

    async def cancel_job(self, call: Call, state: State, id: str) -> None:  # noqa: ARG002
        """POST /app/jobs/JID/cancel."""
        job = self._app.jobs.find(id)
        await self._app.jobs.cancel(job)
        await call.answer(job.described())


def _looked_into(path: Path, n_ctx: int | None, kv_dtype: str) -> Record:
    """Return the content of a model's file."""
    with llmpy.open_model(path) as file:
        types = Counter(info.dtype.name for info in file.tensors.values())
        metadata = {key: _short(value) for key, value in file.metadata.items()}
        found: Record = {
            "metadata": {k: v for k, v in metadata.items() if k != "tokenizer.chat_template"},
            "tensors": {"count": len(file.tensors), "types": dict(types.most_common())},
            "parameters": file.parameters,
            "format": str(file.format),
            "template": str(file.metadata.get("tokenizer.chat_template") or "") or None,
        }
    try:
        plan = llmpy.plan_memory(path, n_ctx=n_ctx, kv_dtype=kv_dtype)
    except llmpy.LlmpyError as error:
        return {**found, "plan": None, "unsupported": str(error)}
    names = ("n_ctx", "weights", "kv_cache", "recurrent", "activations", "tokenizer", "total")
    return {**found, "plan": {name: getattr(plan, name) for name in names}, "unsupported": None}


def _short(value: Any) -> Any:
    """A value of the metadata as JSON has it, long ones cut."""
    if isinstance(value, str):
        return value if len(value) <= LONGEST_VALUE else value[:LONGEST_VALUE] + "…"
    if isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if hasattr(value, "__len__"):
        first = [item.item() if hasattr(item, "item") else item for item in value[:MOST_ITEMS]]
        return {"count": len(value), "first": list(map(_short, first))}
    return str(value)[:LONGEST_VALUE]
