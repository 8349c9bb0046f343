"""Starting the app: on its address, in a browser; once more only the page is opened."""

from __future__ import annotations

import errno
import json
import signal
import threading
import webbrowser
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TextIO, cast

from filelock import FileLock, Timeout

import llmpy
from llmpy.apps.webapp.assembly import WebApp, app_folder
from llmpy.apps.webapp.settings import SettingsFile
from llmpy.server import Server, Settings

__all__ = ["PORT", "run_app"]

PORT = 8765
MAX_BODY = 64 << 20


def run_app(
    *models: str,
    folder: Path | None = None,
    host: str | None = None,
    port: int | None = None,
    keys: Sequence[str] = (),
    browser: bool = True,
    tools: Sequence[llmpy.Tool] = (),
    say: Callable[[str], object] = print,
) -> None:
    """Run the app until the process is interrupted.

    `models`: paths or names of models besides those that are installed; the first one is used where
    a thread names none. `folder`: where chats and settings are kept. `host`, `port`, `keys`: those
    of the settings by default, else 127.0.0.1, port 8765 or a free one, and no key. Where the app
    runs already with this folder, its page is opened and nothing else done.
    """
    folder = folder or app_folder()
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        url = _running(folder)
        say(f"llmpy: the app runs already, on {url}")
        if browser:
            webbrowser.open(url)
        return
    with lock:
        kept = SettingsFile(folder / "settings.json").values
        settings = Settings(
            host=host or kept.host or "127.0.0.1",
            port=0,
            keys=tuple(keys) or tuple(kept.keys),
            max_body=MAX_BODY,
        )
        wanted = kept.port if port is None else port
        app = WebApp(folder, tools=tools)
        app.prefers_first = bool(models)

        def ready(url: str) -> None:
            (folder / "address.json").write_text(json.dumps({"url": url}), "utf-8")
            say(f"llmpy: the app is on {url}")
            if browser:
                threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()

        with _server(models, settings, wanted, app, ready) as server:
            if threading.current_thread() is threading.main_thread():
                for number in (signal.SIGINT, signal.SIGTERM):
                    signal.signal(number, lambda *_: None)
            server.run()


def _server(
    models: Sequence[str],
    settings: Settings,
    port: int | None,
    app: WebApp,
    ready: Callable[[str], object],
) -> Server:
    """The server on the port that is wanted; on a free one where none is, and ours is taken."""
    log = cast(TextIO, app.lines)
    try:
        one = replace(settings, port=PORT if port is None else port)
        return Server(models, one, log=log, ready=ready, extension=app)
    except OSError as error:
        if port is not None or error.errno != errno.EADDRINUSE:
            raise
    free = replace(settings, port=0)
    return Server(models, free, log=log, ready=ready, extension=app)


def _running(folder: Path) -> str:
    """The address of the app that has the folder."""
    try:
        return str(json.loads((folder / "address.json").read_text("utf-8"))["url"])
    except (OSError, ValueError, KeyError, TypeError):
        raise RuntimeError(
            f"another program uses {folder}, and does not say its address; name another folder "
            "with --data"
        ) from None
