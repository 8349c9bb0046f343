"""Errors of the server: one error for each failure, in the shape of the API that was asked."""

from __future__ import annotations

import re
from typing import Any

from llmpy.errors import (
    BackendError,
    ConstraintError,
    ContextFull,
    ModelFileError,
    OutOfMemory,
    SamplerError,
    SessionClosed,
    TemplateError,
    TokenizerError,
    UnsupportedModelError,
)

__all__ = [
    "ApiError",
    "anthropic_shape",
    "as_api_error",
    "bad_value",
    "ollama_shape",
    "openai_shape",
]

# "expected str" and not msgspec's "Expected `str`": the words of all other errors of the package.
_BAD_VALUE = re.compile(r"^(?P<message>.*?)(?: - at `(?:key in )?\$\.?(?P<path>.*)`)?$", re.S)
ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
}


class ApiError(Exception):
    """An answer that is an error: an HTTP status, what to say, and which field was wrong.

    `more`: further fields of the error, by name. `headers`: those of the answer.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        more: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.code = code
        self.more = more or {}
        self.headers = headers or {}

    @property
    def type(self) -> str:
        """The kind of error, in OpenAI's words."""
        if self.status >= 500:
            return "server_error"
        return {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}.get(
            self.status, "invalid_request_error"
        )


def openai_shape(error: ApiError) -> dict[str, Any]:
    """The body of an error of OpenAI's API."""
    body = {"message": error.message, "type": error.type, "param": error.param, "code": error.code}
    return {"error": {**body, **error.more}}


def anthropic_shape(error: ApiError) -> dict[str, Any]:
    """The body of an error of Anthropic's API."""
    kind = ANTHROPIC_TYPES.get(error.status, "api_error")
    return {"type": "error", "error": {"type": kind, "message": error.message, **error.more}}


def ollama_shape(error: ApiError) -> dict[str, Any]:
    """The body of an error of Ollama's API."""
    return {"error": error.message, **error.more}


def bad_value(error: Exception) -> ApiError:
    """The error for a field of a wrong type, as msgspec found it: the path of the field first."""
    match = _BAD_VALUE.match(str(error))
    assert match is not None
    message, path = match["message"].replace("`", ""), match["path"] or None
    message = re.sub(r"^Expected (.*), got (.*)$", r"expected \1, found \2", message)
    return ApiError(400, message if path is None else f"{path}: {message}", param=path)


def as_api_error(error: Exception) -> ApiError | None:
    """Return the error to send for an error of the library; None for an unforeseen one."""
    match error:
        case ApiError():
            return error
        case ContextFull(n_ctx=n_ctx, needed=needed):
            return ApiError(
                400,
                f"the model's context holds {n_ctx} tokens, and the prompt has {needed}: shorten "
                "the prompt, or start the server with a larger --n-ctx",
                code="context_length_exceeded",
                more={"n_prompt_tokens": needed, "n_ctx": n_ctx},
            )
        case OutOfMemory(needed=needed, free=free):
            numbers = {"bytes_needed": needed, "bytes_free": free} if needed else {}
            return ApiError(
                503,
                str(error),
                code="out_of_memory",
                more=numbers,
                headers={"Retry-After": "30"},
            )
        case SamplerError():
            field = str(error).partition(":")[0]
            return ApiError(400, str(error), param=field if field.isidentifier() else None)
        case ConstraintError() | TemplateError() | TokenizerError():
            return ApiError(400, str(error))
        case UnsupportedModelError():
            return ApiError(400, str(error), code="unsupported_model")
        case ModelFileError() | BackendError():
            return ApiError(500, str(error), code="model_failed")
        case SessionClosed():
            return ApiError(503, "the model is being unloaded", headers={"Retry-After": "1"})
    return None
