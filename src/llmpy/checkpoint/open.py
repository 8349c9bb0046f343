"""Opening whatever a model comes in: GGUF, the folder of a checkpoint, or a file before GGUF."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llmpy import checks
from llmpy.arch.base import checkpoints
from llmpy.checkpoint.folder import Folder
from llmpy.checkpoint.huggingface import open_checkpoint
from llmpy.checkpoint.vocabulary import checkpoint_vocabulary
from llmpy.errors import ModelFileError
from llmpy.format import ModelFile, open_gguf
from llmpy.format.ggml import is_old, open_ggml
from llmpy.format.json_text import parse_object
from llmpy.tokenizer.ggml import ggml_vocabulary

__all__ = ["open_model", "open_vocabulary"]

TOKENIZER = "tokenizer.json"
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+-]+:/")
_HUB_NAME = re.compile(r"(?!.*\.(gguf|ggml|bin|safetensors)$)[\w-][\w.-]*/[\w.-]+(:[\w.-]+)?")


def open_model(path: str | os.PathLike[str], *, architecture: str | None = None) -> ModelFile:
    """Open the model at `path`: its metadata and tensors are as a GGUF file's, read when used.

    `architecture` is for GGML, GGMF and GGJT files ("llama", "falcon", "gpt2", "gptj", "gptneox",
    "bloom" or "mpt"), which do not say it; of what says it, it must be the same.

    Raises ModelFileError for whatever is wrong with the files, UnsupportedModelError for what llmpy
    does not have.
    """
    path = _existing(path)
    if architecture is not None:
        checks.text("architecture", architecture)
    if path.is_dir():
        file: ModelFile = open_checkpoint(path, checkpoints(), checkpoint_vocabulary)
    elif is_old(path):
        file = open_ggml(path, architecture, ggml_vocabulary)
    else:
        file = open_gguf(path)
    key = "general.architecture"
    if architecture not in (None, file.metadata.get(key)):
        file.close()
        raise file.error(key, f"{architecture!r}, which was asked for")
    return file


def open_vocabulary(
    path: str | os.PathLike[str], *, architecture: str | None = None
) -> Mapping[str, Any]:
    """The metadata of the model at `path` that its tokenizer is made of; weights may be missing.

    `path` may also be a tokenizer.json; what lies beside one of that name is read too.
    """
    path = _existing(path)
    if path.suffix == ".json" and path.is_file():
        folder = Folder(path.parent) if path.name == TOKENIZER else _OneFile(path)
        return checkpoint_vocabulary(folder, {})
    if path.is_dir():
        folder = Folder(path)
        return checkpoint_vocabulary(folder, folder.json("config.json") or {})
    with open_model(path, architecture=architecture) as file:
        return file.metadata


class _OneFile(Folder):
    """A folder of which only one file is looked at, whatever its name, as its tokenizer.json."""

    def __init__(self, path: Path) -> None:
        super().__init__(path.parent)
        self._name = path.name

    def bytes(self, name: str) -> bytes | None:
        """What is in the file."""
        return super().bytes(self._name) if name == TOKENIZER else None

    def json(self, name: str) -> dict[str, Any] | None:
        """The JSON object in the file."""
        data = self.bytes(name)
        return None if data is None else parse_object(data, self.path / self._name, "file")

    def error(self, name: str, field: str, expected: str, found: str) -> ModelFileError:
        """The error about the file."""
        return super().error(self._name if name == TOKENIZER else name, field, expected, found)


def _existing(path: str | os.PathLike[str]) -> Path:
    """The path; ModelFileError for what is none of this machine's."""
    found, text = checks.path("path", path), os.fspath(path)
    hint = (
        "llmpy downloads nothing. Get the model first (hf download ORGANIZATION/NAME --local-dir "
    )
    hint += "FOLDER), and give its folder or file."
    if not text:
        raise ModelFileError("", "path", "the path of a model", "an empty one")
    if _ADDRESS.match(text):
        raise ModelFileError(text, "path", "a file or folder", "an address", hint=hint)
    if _HUB_NAME.fullmatch(text) and not os.path.lexists(text):
        what = "none, perhaps a name on the Hugging Face Hub"
        raise ModelFileError(text, "path", "a file or folder", what, hint=hint)
    return found
