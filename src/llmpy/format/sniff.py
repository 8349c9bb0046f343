"""Recognizing files that are not GGUF, so that the error can say what to do."""

from __future__ import annotations

import codecs
import contextlib
from pathlib import Path

from llmpy.errors import ModelFileError, UnsupportedModelError
from llmpy.format.mapped import MappedFile

__all__ = ["CONTAINERS", "POINTER", "guess", "is_old", "looks_like"]

_CONVERT = "Get or make a GGUF conversion of the model."
_NEW = "llmpy reads GGUF 1 to 3: convert the model again from its original weights."
_OLD = "llmpy.open_model and llmpy.load read it, if they are told its architecture."
CONTAINERS = {b"lmgg": "GGML", b"fmgg": "GGMF", b"tjgg": "GGJT"}  # before GGUF, by their magic
POINTER = b"version https://git-lfs"  # what begins a file that stands for a larger one
_AGAIN = "Look at the address or path it came from, and get the file again."

# First bytes -> (what it is, what to do, whether it is a sound model in another format)
_KNOWN: list[tuple[bytes, str, str, bool]] = [
    (b"FUGG", "'FUGG', the magic of a GGUF draft or byte-swapped header", _NEW, False),
    (b"lmgg", "a GGML file, the oldest container", _OLD, True),
    (b"fmgg", "a GGMF file, a container older than GGUF", _OLD, True),
    (b"tjgg", "a GGJT file, a container older than GGUF", _OLD, True),
    (b"algg", "a GGLA file, an adapter and no model", "Give the model itself.", True),
    (b"PK\x03\x04", "a ZIP file, such as a PyTorch checkpoint", _CONVERT, True),
    (b"\x80\x02", "a Python pickle, such as an old PyTorch checkpoint", _CONVERT, True),
    (b"\x89HDF", "an HDF5 file, such as a Keras model", _CONVERT, True),
    (b"\x1f\x8b", "a gzip file", "Unpack it first.", False),
    (b"\x28\xb5\x2f\xfd", "a Zstandard file", "Unpack it first.", False),
    (POINTER, "a Git LFS pointer, not the file it stands for",
     "Fetch the real file (git lfs pull).", False),
]  # fmt: skip


def is_old(path: Path) -> bool:
    """Whether the file at `path` is in a container that is older than GGUF."""
    with contextlib.suppress(OSError), path.open("rb") as file:
        return file.read(4) in CONTAINERS
    return False


def looks_like(file: MappedFile) -> ModelFileError:
    """The error for a file whose magic is not GGUF's, with a hint that fits what it looks like."""
    head = bytes(file.buffer[:256])
    unknown = repr(head[:4])[1:], "It is no model file that llmpy knows. " + _AGAIN, False
    found, hint, other_format = guess(head) or unknown
    error = UnsupportedModelError if other_format else ModelFileError
    return error(file.path, "magic", "'GGUF'", found, offset=0, hint=hint)


def guess(head: bytes) -> tuple[str, str, bool] | None:
    """Return the type of a file that begins so, what to do, and whether it is sound, or None."""
    for magic, found, hint, other_format in _KNOWN:
        if head.startswith(magic):
            return found, hint, other_format
    if len(head) < 4 and b"GGUF".startswith(head):
        return f"only {len(head)} of its bytes", _AGAIN, False
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 1 << 32:
        return "a safetensors file", "Give the folder that it is in, with config.json.", True
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml")):
        return (
            "a web page",
            "The download got a page, perhaps a login or an error. " + _AGAIN,
            False,
        )
    if text.startswith((b"{", b"[")):
        return "JSON text", "Give the file with the weights.", False
    if not any(head):
        return "zeros", _AGAIN, False
    words = _text(head[:64])
    if words:
        return f"text, {words[:16]!r}...", _AGAIN, False
    return None


def _text(head: bytes) -> str:
    """The bytes as printable text whose last character may be cut off; empty if they are none."""
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return ""
    return text if all(letter.isprintable() or letter in "\t\r\n" for letter in text) else ""
