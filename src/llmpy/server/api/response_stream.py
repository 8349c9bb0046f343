"""The events of a streamed response of OpenAI's /v1/responses."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from llmpy.server.api.tools import function_call
from llmpy.server.call import Call
from llmpy.server.errors import ApiError
from llmpy.server.generation import Generation
from llmpy.server.running import Run
from llmpy.server.streaming import streamed
from llmpy.session import Piece, ToolCall

__all__ = ["ResponseStream"]


class ResponseStream:
    """Sends a response as it grows: an item of thinking, if any, then the message.

    `response(status, output)` makes the object of the response, `logprobs(pieces)` what is said of
    their tokens.
    """

    def __init__(
        self,
        call: Call,
        run: Run,
        response: Callable[[str, list[dict[str, Any]]], dict[str, Any]],
        logprobs: Callable[[Sequence[Piece]], list[Any]],
    ) -> None:
        self._call = call
        self._run = run
        self._response = response
        self._logprobs = logprobs
        self._n = 0  # events so far
        self._output: list[dict[str, Any]] = []  # items that are complete
        self._item: dict[str, Any] | None = None  # the one that grows
        self._text = ""
        self._tokens: list[Any] = []

    async def send(self) -> None:
        """Send all events."""
        started = self._response("in_progress", [])
        first = self._event("response.created", response=started)
        first += self._event("response.in_progress", response=started)
        await streamed(
            self._call,
            self._run,
            first=first,
            part=self._part,
            last=lambda: b"",
            failed=self._failed,
        )

    def _event(self, kind: str, **more: Any) -> bytes:
        data = {"type": kind, "sequence_number": self._n, **more}
        self._n += 1
        return f"event: {kind}\ndata: ".encode() + msgspec.json.encode(data) + b"\n\n"

    def _failed(self, error: ApiError) -> bytes:
        more = {"code": error.code, "message": error.message, "param": error.param}
        return self._event("error", **more)

    def _part(self, _: Generation, pieces: Sequence[Piece]) -> bytes:
        found = b""
        for piece in pieces:
            if piece.kind == "end":
                found += self._end(piece)
            elif piece.tool_call is not None:
                found += self._called(piece.tool_call)
            elif piece.text:
                found += self._grown(piece)
        return found

    def _grown(self, piece: Piece) -> bytes:
        kind = "reasoning" if piece.kind == "thinking" else "message"
        found = b""
        if self._item is not None and self._item["type"] != kind:
            found += self._close("completed")
        if self._item is None:
            found += self._open(kind)
        self._text += piece.text
        more: dict[str, Any] = {}
        if kind == "message":
            more["logprobs"] = self._logprobs([piece])
            self._tokens += more["logprobs"]
        delta = f"response.{self._name}.delta"
        return found + self._event(delta, **self._place, delta=piece.text, **more)

    def _called(self, call: ToolCall) -> bytes:
        """An item for a call of a tool."""
        found = b"" if self._item is None else self._close("completed")
        item, at = function_call(call), len(self._output)
        place = {"item_id": item["id"], "output_index": at}
        empty = {**item, "arguments": "", "status": "in_progress"}
        arguments = item["arguments"]
        found += self._event("response.output_item.added", output_index=at, item=empty)
        found += self._event("response.function_call_arguments.delta", **place, delta=arguments)
        name = {"name": call.name, "arguments": arguments}
        found += self._event("response.function_call_arguments.done", **place, **name)
        self._output.append(item)
        return found + self._event("response.output_item.done", output_index=at, item=item)

    @property
    def _name(self) -> str:
        assert self._item is not None
        return "reasoning_text" if self._item["type"] == "reasoning" else "output_text"

    @property
    def _place(self) -> dict[str, Any]:
        assert self._item is not None
        at = len(self._output)
        return {"item_id": self._item["id"], "output_index": at, "content_index": 0}

    def _content(self) -> dict[str, Any]:
        found: dict[str, Any] = {"type": self._name, "text": self._text}
        if self._name == "output_text":
            found |= {"annotations": [], "logprobs": self._tokens}
        return found

    def _open(self, kind: str) -> bytes:
        self._text, self._tokens = "", []
        if kind == "reasoning":
            self._item = {"id": f"rs_{uuid.uuid4().hex}", "type": kind, "summary": []}
            self._item |= {"content": []}
        else:
            self._item = {"id": f"msg_{uuid.uuid4().hex}", "type": kind, "role": "assistant"}
            self._item |= {"status": "in_progress", "content": []}
        at = len(self._output)
        found = self._event("response.output_item.added", output_index=at, item=self._item)
        part = self._content()
        return found + self._event("response.content_part.added", **self._place, part=part)

    def _close(self, status: str) -> bytes:
        """The item that grows is complete."""
        assert self._item is not None
        content, name, place = self._content(), self._name, self._place
        more = {"logprobs": self._tokens} if name == "output_text" else {}
        found = self._event(f"response.{name}.done", **place, text=self._text, **more)
        found += self._event("response.content_part.done", **place, part=content)
        item = {**self._item, "content": [content]}
        if "status" in item:
            item["status"] = status
        at = len(self._output)
        found += self._event("response.output_item.done", output_index=at, item=item)
        self._output.append(item)
        self._item = None
        return found

    def _end(self, piece: Piece) -> bytes:
        cut = piece.finish_reason in ("length", "context")
        status, found = "incomplete" if cut else "completed", b""
        if self._item is None and not self._output:
            found += self._open("message")
        if self._item is not None:
            found += self._close(status)
        return found + self._event(
            f"response.{status}", response=self._response(status, self._output)
        )
