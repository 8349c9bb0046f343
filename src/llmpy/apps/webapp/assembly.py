"""The app put together: the server of models, with the page and the paths below /app/."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import platformdirs

import llmpy
from llmpy.apps.webapp.drafts import Drafts
from llmpy.apps.webapp.events import Bus
from llmpy.apps.webapp.general import GeneralPaths
from llmpy.apps.webapp.jobs import Jobs
from llmpy.apps.webapp.library import Library
from llmpy.apps.webapp.logs import Lines
from llmpy.apps.webapp.models import ModelPaths
from llmpy.apps.webapp.pages import HEADERS, Pages
from llmpy.apps.webapp.pulls import Pulls
from llmpy.apps.webapp.records import Record
from llmpy.apps.webapp.routes import Routes
from llmpy.apps.webapp.runs import Runs
from llmpy.apps.webapp.search import Search
from llmpy.apps.webapp.settings import SettingsFile
from llmpy.apps.webapp.store import Store
from llmpy.apps.webapp.threads import ThreadPaths
from llmpy.apps.webapp.transfer import TransferPaths
from llmpy.server import ApiError, Call, State

__all__ = ["WebApp", "app_folder"]


def app_folder() -> Path:
    """Return the folder for chats and settings: LLMPY_APP, or `app` in the user's for data."""
    if found := os.environ.get("LLMPY_APP"):
        return Path(found).absolute()
    return platformdirs.user_data_path("llmpy", appauthor=False) / "app"


class WebApp:
    """The app's part of a server; an `Extension` of it.

    `folder`: where chats and settings are kept. `tools`: what models may call.
    """

    def __init__(self, folder: Path, *, tools: Sequence[llmpy.Tool] = ()) -> None:
        self.folder = folder
        self.version = llmpy.__version__
        self.instance = secrets.token_hex(4)
        self.tools = tuple(tools)
        self.is_closed = False
        self.prefers_first = False  # the first model that the server was given, over the last one
        self.settings = SettingsFile(folder / "settings.json")
        self.lines = Lines()
        self.bus = Bus(self.instance)
        self.store = Store(folder / "chats.db")
        self.search = Search(folder / "chats.db")
        self.library = Library(self.settings)
        self.runs = Runs(self.store, self.bus, self.tools)
        self.drafts = Drafts(self.store)
        self.pulls = Pulls(self)
        self.jobs = Jobs(self)
        self._pages = Pages()
        self._routes = Routes(
            *(
                paths(self).table()
                for paths in (GeneralPaths, ThreadPaths, ModelPaths, TransferPaths)
            )
        )
        self._had_level = 0

    # The life of an extension

    async def begin(self, state: State) -> None:
        """Make ready what the paths need."""
        for part in (self.runs, self.drafts, self.library):
            part.server = state
        state.models.configure(self.settings.for_server(state.settings))
        self._log_here()
        if self.prefers_first:
            self.settings.remember_model(next(iter(state.models.offers)))
        await self.library.refresh()

    async def end(self) -> None:
        """Stop the answers that run, on the disk as far as they came, and end all streams."""
        if self.is_closed:
            return
        self.is_closed = True
        await self.runs.close()
        await self.drafts.close()
        await self.pulls.close()
        await self.jobs.close()
        self.bus.close()
        logger = logging.getLogger("llmpy")
        logger.removeHandler(self.lines)
        logger.setLevel(self._had_level)
        self.search.close()
        self.store.close()

    def is_open(self, path: str) -> bool:
        """Return whether a path needs no key: the page, which asks for the key."""
        return path == "/" or path.startswith("/web/")

    def find(self, call: Call) -> tuple[Callable[..., Awaitable[None]], list[str]] | None:
        """Return what answers a call; None for the server's own paths."""
        path = call.path
        if path == "/" or path.startswith("/web/"):
            if call.method not in ("GET", "HEAD"):
                raise ApiError(405, "the page is only read", headers={"Allow": "GET, HEAD"})
            return self._page, ["index.html" if path == "/" else path.removeprefix("/web/")]
        if not path.startswith("/app/"):
            return None
        if call.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            raise ApiError(403, "pages of other sites may not use this", code="origin_not_allowed")
        call.more_headers |= {**HEADERS, "Cache-Control": "no-store"}
        return self._routes.find(call)

    async def _page(self, call: Call, state: State, path: str) -> None:  # noqa: ARG002
        await self._pages.answer(call, path)

    # What parts tell each other

    def models_shown(self) -> Record:
        """The models as the state and its events have them."""
        return {
            "model": self.library.default(),
            "models": self.library.all(),
            "catalogue": self.library.cards(),
        }

    def tell_models(self) -> None:
        """Tell pages that models have changed."""
        if self.bus.n_listeners:
            self.bus.tell("models", self.models_shown())

    def used(self, model: str) -> None:
        """Remember the model that was used last."""
        if model in self.library.server.models.offers:
            self.settings.remember_model(model)

    def _log_here(self) -> None:
        loop = asyncio.get_running_loop()

        def added(line: Record) -> None:
            if self.bus.n_log_listeners and not loop.is_closed():
                loop.call_soon_threadsafe(self.bus.tell, "log", {"lines": [line]})

        self.lines.added = added
        logger = logging.getLogger("llmpy")
        self._had_level = logger.level
        if not logger.isEnabledFor(logging.INFO):
            logger.setLevel(logging.INFO)
        logger.addHandler(self.lines)
