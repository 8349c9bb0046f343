"""Names of models, and names of files from outside that may become files of this machine."""

from __future__ import annotations

import re
from pathlib import Path

from llmpy.errors import PullError

__all__ = ["check_name", "file_name", "model_name", "readable_name", "relative_path", "same_name"]

_PART = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?"
_NAME = re.compile(rf"{_PART}(?:/{_PART})?(?::{_PART})?")
_SUFFIXES = (".gguf", ".ggml", ".bin", ".safetensors")
PREFIXES = ("pypi", "hf", "https", "http", "file", "package", "ollama", "lmstudio")

_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f-\x9f<>:"|?*\\\u202a-\u202e\u2066-\u2069\ud800-\udfff]')
_DEVICES = re.compile(r"(?:con|prn|aux|nul|com[0-9\u00b9\u00b2\u00b3]|lpt[0-9\u00b9\u00b2\u00b3])",
                      re.IGNORECASE)  # fmt: skip
_LONGEST, _DEEPEST = 200, 8  # bytes of a part, parts of a path


def check_name(name: str) -> str:
    """Return a name that a person gives to a model; ValueError where it cannot be one."""
    if not _NAME.fullmatch(name) or name.lower().endswith(_SUFFIXES):
        raise ValueError(
            f"name: expected letters, digits, '.', '_' and '-', as NAME, NAME:TAG or USER/NAME:TAG "
            f"and without a file's suffix, found {readable_name(name)!r}"
        )
    if (prefix := name.partition(":")[0].lower()) in PREFIXES and ":" in name:
        raise ValueError(f"name: '{prefix}:' names a source; choose another beginning")
    return name


def same_name(one: str, other: str) -> bool:
    """Whether two names are the same: capital and small letters are not told apart."""
    return one.casefold() == other.casefold()


def readable_name(name: str) -> str:
    """A name from outside, short and without control characters, for a message."""
    clean = "".join(c if c.isprintable() else "\ufffd" for c in name)
    return clean if len(clean) <= 100 else f"{clean[:97]}..."


def relative_path(name: str, source: str) -> Path:
    """Return the path below a folder that a file's name from outside means; PullError for others.

    What is refused is refused on every system: a way out of the folder, and whatever Windows cannot
    have (devices, ':' and the like, dots and spaces at an end).
    """
    parts = name.split("/")
    reason = None
    if not name or len(parts) > _DEEPEST:
        reason = f"1 to {_DEEPEST} parts"
    elif any(part in ("", ".", "..") for part in parts):
        reason = "a path below its folder"
    elif _FORBIDDEN.search(name):
        reason = 'no control characters and none of <>:"|?*\\'
    elif any(part != part.rstrip(". ") or part != part.lstrip() for part in parts):
        reason = "no space or dot at an end"
    elif any(_DEVICES.fullmatch(part.partition(".")[0].rstrip()) for part in parts):
        reason = "no name of a device"
    elif any(len(part.encode()) > _LONGEST for part in parts):
        reason = f"at most {_LONGEST} bytes"
    if reason:
        raise PullError(
            f"{readable_name(source)}: name of a file: expected {reason}, "
            f"found {readable_name(name)!r}"
        )
    return Path(*parts)


def model_name(file: str) -> str:
    """Make a model's name of a file's: without its folders and its suffixes."""
    name = file_name(file.rpartition("/")[2])
    while (stem := name.rpartition(".")[0]) and name.lower().endswith(_SUFFIXES):
        name = file_name(stem)
    return name


def file_name(text: str) -> str:
    """Make a file's name of any text: letters, digits, '.', '_' and '-', at most 80 of them."""
    clean = re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip(".-_ ")[:80].rstrip(".-_ ")
    return (
        f"model-{clean}".rstrip("-")
        if not clean or _DEVICES.fullmatch(clean.partition(".")[0])
        else clean
    )
