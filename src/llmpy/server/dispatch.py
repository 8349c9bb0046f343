"""Choosing the function that answers a call, once its path is known."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from llmpy.server.call import Call
from llmpy.server.errors import ApiError

__all__ = ["Handler", "by_method", "nothing_at"]

Handler = Callable[..., Awaitable[None]]


def by_method(call: Call, path: str, methods: Mapping[str, Handler]) -> Handler:
    """Return the function for the method of a call, HEAD as GET; ApiError 405, of `path`."""
    method = "GET" if call.method == "HEAD" and "GET" in methods else call.method
    if method not in methods:
        allowed = ", ".join(sorted(methods))
        raise ApiError(
            405,
            f"{path[:200]!r} takes {allowed}, not {call.method[:20]}",
            code="method_not_allowed",
            headers={"Allow": allowed},
        )
    return methods[method]


def nothing_at(call: Call) -> ApiError:
    """Make the error 404 of a path that nothing answers."""
    return ApiError(404, f"there is nothing at {call.path[:200]!r}", code="not_found")
