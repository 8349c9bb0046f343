"""The table of the app's paths and the functions that answer them."""

from __future__ import annotations

from collections.abc import Mapping

from llmpy.server import Call, Handler, by_method, nothing_at

__all__ = ["Routes"]

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
                raise nothing_at(call)
        methods: dict[str, Handler] = node.get("", {})
        if not methods:
            raise nothing_at(call)
        return by_method(call, call.path, methods), varying
