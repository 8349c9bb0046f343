"""From a name to a model on this machine; nothing is downloaded here."""

from __future__ import annotations

import difflib
import os
import re
from dataclasses import replace
from pathlib import Path

from llmpy import checks
from llmpy.errors import ModelNotFound, PullError
from llmpy.hub.catalogue import CATALOGUE, in_catalogue
from llmpy.hub.huggingface import cached, parse_repository
from llmpy.hub.names import check_name, readable_name, same_name
from llmpy.hub.neighbours import neighbours
from llmpy.hub.pypi import installed_model
from llmpy.hub.store import Store, StoredFile, StoredModel

__all__ = [
    "copy_model",
    "default_model",
    "default_name",
    "find_model",
    "local_model",
    "looks_like_a_name",
    "models",
    "remove_model",
    "set_default_model",
]

_SOURCES = ("hf:", "pypi:", "package:", "ollama:", "lmstudio:", "https://", "http://")


def models() -> list[StoredModel]:
    """Return the complete models on this machine that have a name.

    Models that were pulled or named come first, then those of Ollama and LM Studio; each group is
    sorted by name.
    """
    return [model for model in Store().models() if model.whole] + neighbours()


def find_model(name: str) -> StoredModel:
    """Return the model of a name, as `load` finds it; raises ModelNotFound.

    A name is one of `models()`, with or without its tag or "ollama:" and the like; `user/repo`, if
    it is in the cache of Hugging Face; `package:NAME`; or the source that a model was pulled from.
    """
    store, name = Store(), checks.text("name", name).replace(os.sep, "/")
    asked = name.removeprefix("hf:")
    damaged = None
    if found := store.get(asked) or store.get(name):
        if found.whole:
            return found
        damaged = found
    if name.startswith("package:"):
        return _installed(name)
    others = neighbours()
    for match in (_exact, _without_prefix, _without_tag):
        if hits := [model for model in others if same_name(match(model.name), name)]:
            return hits[0]
    if parse_repository(name) and (hit := cached(name)):
        path, paths = hit
        files = tuple(StoredFile(p, p.stat().st_size) for p in paths)
        return StoredModel(asked, path, f"hf:{asked}", None, files, in_place=True)
    raise _not_found(name, damaged, store)


def default_model() -> StoredModel | None:
    """Return the model that commands use if none is named; None if no model is installed.

    It is the one chosen by `set_default_model`, else the only one for chats. Raises ModelNotFound
    if it was removed, or if several models are for chats and none was chosen.
    """
    store = Store()
    if chosen := store.default():
        return find_model(chosen)
    known = [model for model in store.models() if model.whole and model.good_for != "embeddings"]
    if len(known) > 1:
        names = ", ".join(model.name for model in known[:20])
        raise ModelNotFound(
            None,
            "model",
            "a default, or one that is named",
            f"several models: {names}",
            hint="llmpy default NAME chooses one.",
        )
    return known[0] if known else None


def default_name() -> str | None:
    """Return the name of the default model, or None if there is no usable one."""
    try:
        model = default_model()
    except ModelNotFound:
        return None
    return None if model is None else model.name


def set_default_model(name: str | None) -> None:
    """Set the model that commands use if none is named; None unsets it."""
    Store().set_default(None if name is None else find_model(name).name)


def copy_model(
    source: str | os.PathLike[str], name: str, *, owned: bool = False, license: str | None = None
) -> StoredModel:
    """Add a name for a model, a file or a folder; no byte is copied.

    `owned`: `remove_model` deletes the files of a file or folder too, which it keeps otherwise.
    `license`: that of a file or folder, which states none.

    Raises ModelNotFound for a source that does not exist, ValueError for an invalid name.
    """
    checks.path("source", source)
    check_name(checks.text("name", name))
    text = os.fspath(source)
    checks.flags(owned=owned)
    if license is not None:
        checks.text("license", license)
    if os.path.lexists(text):
        found = replace(local_model(Path(text)), in_place=not owned, license=license)
    else:
        found = find_model(text)
    return Store().copy(found, name)


def remove_model(name: str) -> int:
    """Remove a name, delete the files that no other name uses, and return the bytes freed.

    Files of other programs, and files and folders that were only named, are kept. Raises
    ModelNotFound.
    """
    store = Store()
    found = store.get(checks.text("name", name).removeprefix("hf:"))
    return store.remove(found.name if found else name)


def local_model(path: Path) -> StoredModel:
    """A file or folder as a model without a name yet."""
    path = path.absolute()
    listed = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    files = tuple(StoredFile(p, p.stat().st_size) for p in listed[:1000])
    return StoredModel(path.name, path, str(path), None, files, in_place=True)


def looks_like_a_name(text: str) -> bool:
    """Whether a text may name a model that is not here, and is no path."""
    text = text.replace(os.sep, "/")
    try:
        check_name(text)
    except ValueError:
        if text.startswith(_SOURCES):
            return True
        return bool(re.search("[:@]", text) and parse_repository(text))
    return True


def _installed(name: str) -> StoredModel:
    try:
        path, paths, license = installed_model(name.removeprefix("package:"))
    except PullError as error:
        raise ModelNotFound(name, "name", "a package with a model", str(error)) from error
    files = tuple(StoredFile(p, p.stat().st_size) for p in paths)
    return StoredModel(name, path, name, license, files, in_place=True)


def _exact(name: str) -> str:
    return name


def _without_prefix(name: str) -> str:
    return name.partition(":")[2]


def _without_tag(name: str) -> str:
    """Without prefix, and without "latest" or a type: an only variant needs no tag."""
    return name.partition(":")[2].rpartition(":")[0]


def _not_found(name: str, damaged: StoredModel | None, store: Store) -> ModelNotFound:
    shown = readable_name(name)
    if damaged is not None:
        gone = next(file.path for file in damaged.files if not file.whole) if damaged.files else ""
        what = f"{gone} missing or of another size"
        return ModelNotFound(shown, "name", "an installed model", what, hint=_how(damaged.source))
    names = [m.name for m in (*store.models(), *neighbours())]
    close = difflib.get_close_matches(name, [*names, *(e.name for e in CATALOGUE)], 1, 0.7)
    hint = f"Did you mean {close[0]}? " if close and not same_name(close[0], name) else ""
    if not close or close[0] not in names:
        hint += _how(close[0] if close else name)
    return ModelNotFound(shown, "name", "a file, a folder or an installed model", "none", hint=hint)


def _how(source: str) -> str:
    if source.startswith(("ollama:", "lmstudio:", "package:")):
        return "llmpy ls lists what is installed."
    if entry := in_catalogue(source):
        source = entry.name
    return f"llmpy pull {readable_name(source)} downloads it; llmpy ls lists what is installed."
