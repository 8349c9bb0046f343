"""An HTTP server of models, which clients of several APIs can use.

`Server` and `Settings` are what a program needs to serve models; the other names are for an
`Extension`, which answers further paths of the same server.
"""

from llmpy.machine.memory import available_memory
from llmpy.server.api.conversation import chat_prompt
from llmpy.server.api.tools import arguments_of
from llmpy.server.call import EVENTS, Call, Gone
from llmpy.server.dispatch import Handler, by_method, nothing_at
from llmpy.server.errors import ApiError, as_api_error, bad_value, openai_shape
from llmpy.server.extension import Extension
from llmpy.server.generation import Generation
from llmpy.server.models import Loaded, Offer
from llmpy.server.running import Run, running
from llmpy.server.serving import Server, serve
from llmpy.server.settings import Settings, is_loopback
from llmpy.server.state import State
from llmpy.tools import acalled, result_message, toolset

__all__ = [
    "EVENTS",
    "ApiError",
    "Call",
    "Extension",
    "Generation",
    "Gone",
    "Handler",
    "Loaded",
    "Offer",
    "Run",
    "Server",
    "Settings",
    "State",
    "acalled",
    "arguments_of",
    "as_api_error",
    "available_memory",
    "bad_value",
    "by_method",
    "chat_prompt",
    "is_loopback",
    "nothing_at",
    "openai_shape",
    "result_message",
    "running",
    "serve",
    "toolset",
]
