"""Everything that can go wrong, as one tree.

LlmpyError
├── ModelFileError        a model file is damaged, hostile, or not a model  (also ValueError)
│   ├── UnsupportedModelError   a sound file that asks for what llmpy lacks
│   ├── SnapshotError           a saved session is damaged, or of another model
│   └── ModelNotFound           no file, folder or installed model of that name
├── PullError             a model cannot be downloaded                      (also RuntimeError)
├── LicenseRefused        a model's licence is not among the allowed ones   (also RuntimeError)
├── TokenizerError        a vocabulary that cannot be used, an id out of range (also ValueError)
├── GraphError            an architecture's wiring does not fit its tensors     (also ValueError)
├── BackendError          the chosen backend cannot run here                (also RuntimeError)
├── OutOfMemory           the model or its memory does not fit, with numbers    (also MemoryError)
├── ContextFull           more tokens than the session's context holds      (also ValueError)
├── SessionClosed         a session or its model was closed before this call    (also RuntimeError)
├── SessionInUse          another thread, or a later call, uses the session     (also RuntimeError)
├── Cancelled             a call was cancelled, or its deadline has passed      (also RuntimeError)
├── TemplateError         a chat template cannot be used, or refuses        (also ValueError)
├── SamplerError          a sampler got or gave what it must not            (also ValueError)
├── ConstraintError       a schema or grammar that cannot be followed       (also ValueError)
├── AnswerError           a typed answer that did not become whole          (also ValueError)
└── ToolError             a call of a tool that cannot be made or answered  (also RuntimeError)
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

__all__ = [
    "AnswerError",
    "BackendError",
    "Cancelled",
    "ConstraintError",
    "ContextFull",
    "GraphError",
    "LicenseRefused",
    "LlmpyError",
    "ModelFileError",
    "ModelNotFound",
    "OutOfMemory",
    "PullError",
    "SamplerError",
    "SessionClosed",
    "SessionInUse",
    "SnapshotError",
    "TemplateError",
    "TokenizerError",
    "ToolError",
    "UnsupportedModelError",
]


class LlmpyError(Exception):
    """The base of all errors that llmpy raises on purpose; all of them can be pickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Restore message and attributes without `__init__`, which may want other arguments."""
        return _restored, (type(self), *self.args), self.__dict__


def _restored(kind: type[LlmpyError], *args: object) -> LlmpyError:
    return BaseException.__new__(kind, *args)


class ModelFileError(LlmpyError, ValueError):
    """A model file cannot be used.

    `field` names the place in the terms of the format ("tensor 'blk.0.attn_q.weight' dimension 1"),
    `offset` is its byte position in the file (None when the error is not about one place),
    `expected` and `found` describe the fault, and `hint` what to do.
    """

    def __init__(
        self,
        path: str | Path | None,
        field: str,
        expected: str,
        found: str,
        *,
        offset: int | None = None,
        hint: str | None = None,
    ) -> None:
        self.path = None if path is None else str(path)
        self.field = field
        self.offset = offset
        self.expected = expected
        self.found = found
        self.hint = hint
        where = "" if offset is None else f" at byte {offset}"
        text = f"{field}{where}: expected {expected}, found {found}"
        if self.path is not None:
            text = f"{self.path}: {text}"
        if hint:
            text += f". {hint}"
        super().__init__(text)


class UnsupportedModelError(ModelFileError):
    """A valid file needs an architecture, tokenizer or type that llmpy does not support."""


class SnapshotError(ModelFileError):
    """A saved session cannot be used: `field` says why.

    "format" or "version": the file is not a saved session, or has another version; "sha256", and
    the names of its parts: it is damaged; "model", "layout" or "n_ctx": it is of another model,
    backend or configuration; "constraint": a session that has one cannot be saved.
    """


class ModelNotFound(ModelFileError):
    """There is no file or folder with this path, and no installed model with this name."""


class PullError(LlmpyError, RuntimeError):
    """A model cannot be downloaded: the source, the connection, the checksum or the disk."""


class LicenseRefused(LlmpyError, RuntimeError):
    """The licence of a model is not among those that were allowed."""


class TokenizerError(LlmpyError, ValueError):
    """A vocabulary cannot be used, or a token id lies outside it."""


class GraphError(LlmpyError, ValueError):
    """The graph of an architecture does not fit the shapes of its tensors."""


class BackendError(LlmpyError, RuntimeError):
    """The chosen backend cannot run on this machine, or cannot run this model."""


class OutOfMemory(LlmpyError, MemoryError):
    """The model, or the memory of its sessions, does not fit; the message has the numbers.

    `needed` and `free` are bytes, where they are known.
    """

    def __init__(self, message: str, needed: int | None = None, free: int | None = None) -> None:
        self.needed = needed
        self.free = free
        super().__init__(message)


class ContextFull(LlmpyError, ValueError):
    """A session was asked to hold more tokens than its context."""

    def __init__(self, n_ctx: int, needed: int, advice: str | None = None) -> None:
        self.n_ctx = n_ctx
        self.needed = needed
        advice = advice or "load the model with a larger n_ctx, or rewind or close the session"
        super().__init__(f"the context holds {n_ctx} tokens and {needed} are needed; {advice}")


class SessionClosed(LlmpyError, RuntimeError):
    """A session, or its model, was closed before this call."""


class SessionInUse(LlmpyError, RuntimeError):
    """A session is in use by another thread, or a stream was continued after another call."""


class Cancelled(LlmpyError, RuntimeError):
    """A call was cancelled by `Session.cancel`, or by the deadline of its session."""


class TemplateError(LlmpyError, ValueError):
    """A chat template is invalid, exceeds its limits, or rejects a conversation."""


class SamplerError(LlmpyError, ValueError):
    """A sampler's parameter is out of range, or a custom sampler returned an invalid result."""


class ConstraintError(LlmpyError, ValueError):
    """A schema, regular expression or grammar is invalid, unsupported, too large or unsatisfiable.

    `pointer` is the place in a JSON schema, as a JSON pointer, or None.
    """

    def __init__(self, message: str, pointer: str | None = None) -> None:
        self.pointer = pointer
        super().__init__(message if pointer is None else f"schema at {pointer or '/'!r}: {message}")


class AnswerError(LlmpyError, ValueError):
    """A typed answer is incomplete or invalid for its type; the session is as it was before.

    `text` is the generated text, and `finish_reason` why it ended ("length", "context",
    "cancelled"; "end" if the value is invalid for the type).
    """

    def __init__(self, message: str, text: str, finish_reason: str) -> None:
        self.text = text
        self.finish_reason = finish_reason
        super().__init__(message)


class ToolError(LlmpyError, RuntimeError):
    """A tool timed out, a call is too long, or the model called tools in too many rounds."""
