"""The state that all requests of a server share."""

from __future__ import annotations

import time

from llmpy.server.call import Call
from llmpy.server.generation import Inbox
from llmpy.server.metrics import Metrics
from llmpy.server.models import Models
from llmpy.server.settings import Settings

__all__ = ["State"]

SILENCE = 1.0  # seconds without a byte after which a stream says that it lives


class State:
    """The models, the settings and the open streams, of which silent ones are woken."""

    def __init__(self, models: Models, settings: Settings, metrics: Metrics) -> None:
        self.models = models
        self.settings = settings
        self.metrics = metrics
        self.streams: dict[Call, Inbox] = {}

    async def wake(self) -> None:
        """Wake the streams that have sent nothing for a second."""
        now = time.monotonic()
        for call, inbox in self.streams.items():
            if now - call.last_sent >= SILENCE:
                inbox.wake()
