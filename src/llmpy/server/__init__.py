"""An HTTP server of models, which clients of several APIs can use."""

from llmpy.server.serving import Server, serve
from llmpy.server.settings import Settings

__all__ = ["Server", "Settings", "serve"]
