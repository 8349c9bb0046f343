"""Opening whatever a model comes in: GGUF, the folder of a checkpoint, or a file before GGUF."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from llmpy import checks
from llmpy.arch.base import checkpoints
from llmpy.format import ModelFile, open_gguf
from llmpy.format.folder import Folder
from llmpy.format.ggml import is_old, open_ggml
from llmpy.format.huggingface import open_checkpoint
from llmpy.tokenizer.checkpoint import checkpoint_vocabulary
from llmpy.tokenizer.ggml import ggml_vocabulary

__all__ = ["open_model", "open_vocabulary"]


def open_model(path: str | os.PathLike[str], *, architecture: str | None = None) -> ModelFile:
    """Open the model at `path`: its metadata and tensors are as a GGUF file's, read when used.

    `architecture` is for GGML, GGMF and GGJT files ("llama", "falcon", "gpt2", "gptj", "gptneox",
    "bloom" or "mpt"), which do not say it; of what says it, it must be the same.

    Raises ModelFileError for whatever is wrong with the files, UnsupportedModelError for what llmpy
    does not have.
    """
    path = checks.path("path", path)
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
    """The metadata of the model at `path` that its tokenizer is made of; weights may be missing."""
    path = checks.path("path", path)
    if path.is_dir():
        folder = Folder(path)
        return checkpoint_vocabulary(folder, folder.json("config.json") or {})
    with open_model(path, architecture=architecture) as file:
        return file.metadata
