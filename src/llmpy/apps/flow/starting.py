"""Starting the page of flows, and running a flow without it."""

from __future__ import annotations

import signal
import threading
import webbrowser
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import platformdirs

from llmpy.apps.flow.app import FlowApp
from llmpy.apps.flow.cache import Cache
from llmpy.apps.flow.executing import Execution
from llmpy.apps.flow.graph import load
from llmpy.apps.flow.kinds import all_kinds
from llmpy.apps.flow.work import Allowed, Event, Models
from llmpy.server import Server, Settings

__all__ = ["PORT", "run_file", "serve_flows"]

PORT = 8766


def serve_flows(
    file: Path | None,
    models: Models,
    allowed: Allowed,
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
    keys: Sequence[str] = (),
    browser: bool = True,
    say: Callable[[str], object] = print,
) -> None:
    """Serve the page until the process is interrupted.

    `file`: where the flow is kept, and read from if it is there; default one in the user's folder
    for data. `port`: default 8766, or a free one where that is taken.
    """
    if file is None:
        folder = platformdirs.user_data_path("llmpy", appauthor=False) / "flow"
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "flow.json"
    if file.exists():
        load(file)  # what is wrong with it is said here, not on the page
    all_kinds()
    cache = Cache()
    app = FlowApp(file.absolute(), models, allowed=allowed, cache=cache)

    def ready(url: str) -> None:
        say(f"llmpy: flows are on {url}")
        if browser:
            threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()

    try:
        server = Server((), Settings(host, PORT if port is None else port, tuple(keys)),
                        ready=ready, extension=app)  # fmt: skip
    except OSError:
        if port is not None:
            raise
        server = Server((), Settings(host, 0, tuple(keys)), ready=ready, extension=app)
    with server:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, lambda *_: None)
        server.run()
    models.close()
    cache.close()


def run_file(
    file: Path,
    models: Models,
    allowed: Allowed,
    *,
    values: Mapping[str, Any] | None = None,
    cache: Path | None = None,
    tell: Callable[[Event], object] = lambda _: None,
) -> dict[str, Any]:
    """Run the flow of a file with these values for its inputs; return its outputs by title.

    Raises FlowError for a flow that is wrong or fails, OSError for a file that is not there.
    """
    flow = load(file).with_values(values or {})
    kept = Cache(cache or "")
    execution = Execution(flow, models, allowed=allowed, cache=kept, tell=tell)
    try:
        return execution.run()
    finally:
        kept.close()
