"""The table of the app's paths and the functions that answer them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from llmpy.server import ApiError, Call

__all__ = ["Handler", "Routes"]

Handler = Callable[..., Awaitable[None]]
Table = Mapping[str, Mapping[str, Handler]]


class Routes:
    """Paths such as "/app/threads/*", whose stars stand for one part of a path each."""

    def __init__(self, *tables: Table) -> None:
        self._tree: dict[str, dict] = {}  # type: ignore[type-arg]
        for table in tables:
            for path, methods in table.items():
                node = self._tree
                for part in path.strip("/").split("/"):
                    node = node.setdefault(part, {})
                node[""] = dict(methods)

    def find(self, call: Call) -> tuple[Handler, list[str]]:
        """Return the function for a call and the varying parts of its path; ApiError 404 or 405."""
        node, varying = self._tree, list[str]()
        for part in call.path.strip("/").split("/"):
            if part in node and part:
                node = node[part]
            elif "*" in node and part:
                node = node["*"]
                varying.append(part)
            else:
                raise _missing(call)
        methods: dict[str, Handler] = node.get("", {})
        if not methods:
            raise _missing(call)
        method = "GET" if call.method == "HEAD" and "GET" in methods else call.method
        if method not in methods:
            allowed = ", ".join(sorted(methods))
            raise ApiError(
                405,
                f"{call.path[:200]!r} takes {allowed}, not {call.method[:20]}",
                code="method_not_allowed",
                headers={"Allow": allowed},
            )
        return methods[method], varying


def _missing(call: Call) -> ApiError:
    return ApiError(404, f"there is nothing at {call.path[:200]!r}", code="not_found")
