"""Opening whatever a model comes in: GGUF, the folder of a checkpoint, or a file before GGUF.

What reads the last two is imported when there is one.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmpy import checks
from llmpy.errors import ModelFileError, ModelNotFound
from llmpy.format import ModelFile, open_gguf
from llmpy.format.sniff import is_old

if TYPE_CHECKING:
    from llmpy.hub.store import StoredModel

__all__ = ["existing", "open_licensed", "open_model", "open_vocabulary"]


def open_model(path: str | os.PathLike[str], *, architecture: str | None = None) -> ModelFile:
    """Open the model at `path`, or of that name; its tensors are read when they are used.

    `architecture` is for GGML, GGMF and GGJT files ("llama", "falcon", "gpt2", "gptj", "gptneox",
    "bloom" or "mpt"), which do not contain it; for other files it must be the same as theirs.

    Raises ModelFileError for damaged files, UnsupportedModelError for a format or type that llmpy
    does not support.
    """
    path = existing(path)
    if architecture is not None:
        checks.text("architecture", architecture)
    if path.is_dir():
        from llmpy.arch.base import checkpoints
        from llmpy.checkpoint.huggingface import open_checkpoint
        from llmpy.checkpoint.vocabulary import checkpoint_vocabulary

        file: ModelFile = open_checkpoint(path, checkpoints(), checkpoint_vocabulary)
    elif is_old(path):
        from llmpy.format.ggml import open_ggml
        from llmpy.tokenizer.ggml import ggml_vocabulary

        file = open_ggml(path, architecture, ggml_vocabulary)
    else:
        file = open_gguf(path)
    key = "general.architecture"
    if architecture not in (None, file.metadata.get(key)):
        file.close()
        raise file.error(key, f"{architecture!r}, which was asked for")
    return file


def open_licensed(
    path: str | os.PathLike[str],
    architecture: str | None,
    download: bool,
    allow_licenses: Iterable[str] | None,
) -> ModelFile:
    """`open_model` for `load`: downloads what has a name only, and looks at the licence."""
    from llmpy.hub.licences import allowed_licenses, check_license, plain_license

    checks.path("path", path)
    checks.flag("download", download)
    allowed, text = allowed_licenses(allow_licenses), os.fspath(path)
    found = None if os.path.lexists(text) else _named(text, download, allowed)
    file = open_model(path if found is None else found.path, architecture=architecture)
    try:
        own = plain_license(file.metadata.get("general.license"))
        check_license(text, found.license or own if found else own, allowed)
    except BaseException:
        file.close()
        raise
    return file


def open_vocabulary(
    path: str | os.PathLike[str], *, architecture: str | None = None
) -> Mapping[str, Any]:
    """The metadata of the model at `path` that its tokenizer is made of; weights may be missing.

    `path` may also be a tokenizer.json; what lies beside one of that name is read too.
    """
    path = existing(path)
    if path.is_dir() or (path.suffix == ".json" and path.is_file()):
        from llmpy.checkpoint.folder import TOKENIZER, Folder, OneFile
        from llmpy.checkpoint.vocabulary import checkpoint_vocabulary

        if path.is_dir():
            folder = Folder(path)
            return checkpoint_vocabulary(folder, folder.json("config.json") or {})
        folder = Folder(path.parent) if path.name == TOKENIZER else OneFile(path)
        return checkpoint_vocabulary(folder, {})
    with open_model(path, architecture=architecture) as file:
        return file.metadata


def existing(path: str | os.PathLike[str]) -> Path:
    """The path of a model on this machine, which may be given by its name; else ModelFileError."""
    found, text = checks.path("path", path), os.fspath(path)
    if not text:
        raise ModelFileError("", "path", "the path or name of a model", "an empty one")
    named = None if os.path.lexists(text) else _named(text)
    return found if named is None else named.path


def _named(
    text: str, download: bool = False, allowed: frozenset[str] | None = None
) -> StoredModel | None:
    """The model of a name, which may be downloaded; None for what is no name."""
    from llmpy.hub.finding import find_model, looks_like_a_name

    if not text or not looks_like_a_name(text):
        return None
    try:
        return find_model(text)
    except ModelNotFound:
        if not download:
            raise
        from llmpy.hub.pulling import pull

        return pull(text, allow_licenses=allowed)
