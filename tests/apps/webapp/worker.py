"""The app on a tiny model as a process of its own, for tests that kill it: MODEL FOLDER."""

from __future__ import annotations

import sys
from pathlib import Path

from llmpy.apps.webapp import WebApp
from llmpy.server import Server, Settings


def main(model: str, folder: str) -> None:
    settings = Settings(port=0, template="chatml", n_ctx=2048, n_threads=1)
    app = WebApp(Path(folder))
    with Server(
        [f"stories={model}"],
        settings,
        ready=lambda url: print(url, flush=True),
        extension=app,
    ) as server:
        server.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
