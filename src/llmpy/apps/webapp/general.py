"""The paths about everything but threads and models: state, changes, settings, logs, search."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llmpy.server import ApiError, Call, Handler, State

if TYPE_CHECKING:
    from llmpy.apps.webapp.assembly import WebApp

__all__ = ["GeneralPaths"]


class GeneralPaths:
    """Answers what a page asks of the app itself."""

    def __init__(self, app: WebApp) -> None:
        self._app = app

    def table(self) -> dict[str, dict[str, Handler]]:
        """The paths."""
        return {
            "/app/state": {"GET": self.state},
            "/app/events": {"GET": self.events},
            "/app/settings": {"GET": self.settings, "PATCH": self.change_settings},
            "/app/logs": {"GET": self.logs},
            "/app/search": {"GET": self.search},
        }

    async def state(self, call: Call, state: State) -> None:
        """GET /app/state."""
        app = self._app
        await app.library.refresh()
        found: dict[str, Any] = {
            "version": app.version,
            "instance": app.instance,
            **app.models_shown(),
            "pulls": app.pulls.all(),
            "jobs": app.jobs.all(),
            "settings": app.settings.shown(),
            "tools": [{"name": t.name, "description": t.description} for t in app.tools],
            "memory": app.library.memory(),
            "needs_key": bool(state.settings.keys),
        }
        await call.answer(found)

    async def events(self, call: Call, state: State) -> None:  # noqa: ARG002
        """GET /app/events."""
        await self._app.bus.listen(call, logs=call.query.get("logs") in ("1", "true"))

    async def settings(self, call: Call, state: State) -> None:  # noqa: ARG002
        """GET /app/settings."""
        await call.answer(self._app.settings.shown())

    async def change_settings(self, call: Call, state: State) -> None:
        """PATCH /app/settings."""
        app = self._app
        app.settings.change(await call.json())
        state.models.configure(app.settings.for_server(state.settings))
        shown = app.settings.shown()
        app.bus.tell("settings", shown)
        await call.answer(shown)
        await app.library.refresh()
        app.tell_models()

    async def logs(self, call: Call, state: State) -> None:  # noqa: ARG002
        """GET /app/logs."""
        await call.answer(self._app.lines.after(number(call, "after", 0, 2**53)))

    async def search(self, call: Call, state: State) -> None:  # noqa: ARG002
        """GET /app/search."""
        limit = number(call, "limit", 50, 500)
        hits, more = await self._app.search.find(call.query.get("q", "")[:200], limit)
        await call.answer({"hits": hits, "more": more})


def number(call: Call, name: str, default: int, most: int) -> int:
    """A number of the query; ApiError where it is none."""
    text = call.query.get(name, str(default))
    if not text.isdecimal() or len(text) > 16 or int(text) > most:
        raise ApiError(
            400, f"{name}: expected 0 to {most}, found {text[:40]!r}", param=name,
            code="invalid_value",
        )  # fmt: skip
    return int(text)
