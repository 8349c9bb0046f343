"""The models of this user: which names there are, and the files that each stands for.

`models.json` in the folder for models says it. It is replaced as a whole, under a lock, and an
entry is written only when its files are whole; one whose files are gone or changed is never used.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import platformdirs

from llmpy.errors import ModelNotFound, PullError
from llmpy.hub.events import Report
from llmpy.hub.names import check_name, readable_name, same_name
from llmpy.hub.transfer import locked
from llmpy.machine.memory import available_memory

__all__ = ["Store", "StoredFile", "StoredModel", "models_folder", "now"]

LARGEST = 64 << 20  # bytes of models.json


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of a model: its path, its size in bytes, and its SHA-256 if it was computed."""

    path: Path
    size: int
    sha256: str | None = None

    @property
    def whole(self) -> bool:
        """True if the file exists with that size."""
        try:
            return self.path.is_file() and self.path.stat().st_size == self.size
        except OSError:
            return False


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A named model on this machine.

    `path` is the GGUF file or folder that `load` opens; `source` the argument of `pull` that
    downloads it again; `license` that which the source states; `good_for` "chat", "embeddings" or
    ""; `in_place`: whether the files belong to another program, so that `remove_model` does not
    delete them; `added`: the date.
    """

    name: str
    path: Path
    source: str
    license: str | None
    files: tuple[StoredFile, ...] = field(repr=False)
    good_for: str = ""
    in_place: bool = False
    added: str = ""

    @property
    def size(self) -> int:
        """Size of all files, in bytes."""
        return sum(file.size for file in self.files)

    @property
    def fits(self) -> Literal["fits", "tight", "too big"] | None:
        """Whether the model fits into free memory: its weights, and about a fifth for a session.

        It is an estimate from the size; None if the system does not report its memory.
        """
        free = available_memory()
        if free is None:
            return None
        if self.size > free:
            return "too big"
        return "fits" if self.size * 1.2 + (256 << 20) <= free else "tight"

    @property
    def whole(self) -> bool:
        """True if all files exist with their sizes."""
        return bool(self.files) and all(file.whole for file in self.files)


def models_folder() -> Path:
    """Return the folder for models: LLMPY_MODELS, or `models` in the user's folder for data."""
    if found := os.environ.get("LLMPY_MODELS"):
        return Path(found).absolute()
    return platformdirs.user_data_path("llmpy", appauthor=False) / "models"


def now() -> str:
    """The day, as entries have it."""
    return datetime.date.today().isoformat()


class Store:
    """The names in a folder for models. Each call reads what is there now."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or models_folder()
        self.index = self.folder / "models.json"

    def lock(self, name: str) -> Path:
        """The path of a lock."""
        return self.folder / ".locks" / f"{name}.lock"

    def models(self) -> list[StoredModel]:
        """All entries, those with missing files too, by name."""
        return sorted(self._read()[0].values(), key=lambda model: model.name.casefold())

    def default(self) -> str | None:
        """The name of the default model, if one was chosen."""
        return self._read()[1]

    def get(self, name: str) -> StoredModel | None:
        """The entry of a name, of a name without its tag, or of a source; whole or not."""
        models = self._read()[0].values()
        for number in range(5):
            if found := [model for model in models if same_name(_keys(model)[number], name)]:
                return max(found, key=lambda model: (model.whole, model.added))
        return None

    def put(self, model: StoredModel) -> StoredModel:
        """Enter a model; ValueError where its name is that of another, whose files are here."""

        def change(models: dict[str, StoredModel], default: str | None) -> str | None:
            known = models.pop(_key(models, model.name), None)
            if known and known.whole and known.path != model.path and known.source != model.source:
                raise ValueError(
                    f"name: {known.name!r} is the name of {known.path}; choose another, or remove "
                    f"that with llmpy rm {known.name}"
                )
            models[model.name] = model
            return default

        self._change(change)
        return model

    def copy(self, model: StoredModel, name: str) -> StoredModel:
        """Give the files of a model a second name; no byte is copied."""
        return self.put(replace(model, name=check_name(name), added=now()))

    def set_default(self, name: str | None) -> None:
        """Choose the default model, or none."""
        self._change(lambda _models, _default: name)

    def remove(self, name: str) -> int:
        """Forget a name; delete the files that no other name has; return the bytes freed."""
        gone: list[StoredModel] = []
        kept: list[StoredModel] = []

        def change(models: dict[str, StoredModel], default: str | None) -> str | None:
            key = _key(models, name)
            if key not in models:
                raise ModelNotFound(
                    name, "name", "an installed model", "none", hint="llmpy ls lists them."
                )
            gone.append(models.pop(key))
            kept.extend(models.values())
            return None if default is not None and same_name(default, key) else default

        self._change(change)
        if gone[0].in_place:
            return 0
        used = {file.path for model in kept for file in model.files}
        return sum(self._deleted(file) for file in gone[0].files if file.path not in used)

    def _deleted(self, file: StoredFile) -> int:
        """Delete a file and, behind a link, what it leads to; then folders that are empty."""
        freed = 0
        for path in dict.fromkeys((file.path, file.path.resolve())):
            if path != file.path and _linked(path):
                break
            try:
                size = 0 if path.is_symlink() else path.stat().st_size
                path.unlink()
                freed += size
            except FileNotFoundError:
                continue
            except OSError as error:
                raise PullError(f"{path}: it cannot be deleted ({error})") from error
            with contextlib.suppress(OSError):
                for folder in (path.parent, *path.parents[1:4]):
                    if folder == self.folder:
                        break
                    folder.rmdir()  # fails where something is in it
        return freed

    def workplace(self, name: str) -> Path:
        """An empty folder for work in progress; to be used under the lock of that name."""
        folder = self.folder / ".partial" / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    @property
    def parts(self) -> Path:
        """A folder for packages that are downloaded."""
        return self.folder / ".partial" / "packages"

    def _read(self) -> tuple[dict[str, StoredModel], str | None]:
        try:
            with self.index.open("rb") as file:
                data = file.read(LARGEST + 1)
        except (FileNotFoundError, NotADirectoryError):
            return {}, None
        try:
            if len(data) > LARGEST:
                raise ValueError("too long")
            found = json.loads(data)
            rows = found["models"]
            default = found.get("default")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise PullError(
                f"{self.index}: expected the list of models in JSON, found something else; move it "
                "away, and pull or cp the models again (files that are here are not downloaded "
                "twice)"
            ) from error
        models = {}
        for row in rows if isinstance(rows, list) else ():
            if model := self._model(row):  # a bad row hides no other
                models[model.name] = model
        return models, default if isinstance(default, str) else None

    def _model(self, row: Any) -> StoredModel | None:
        try:
            files = tuple(
                StoredFile(self.folder / str(f["path"]), int(f["size"]), f.get("sha256"))
                for f in row["files"]
            )
            texts = {k: str(row.get(k) or "") for k in ("source", "good_for", "added")}
            license = row.get("license")
            return StoredModel(
                name=str(row["name"]),
                path=self.folder / str(row["path"]),
                license=license if isinstance(license, str) else None,
                files=files,
                in_place=bool(row.get("in_place")),
                **texts,
            )
        except (KeyError, TypeError, ValueError, AttributeError):
            return None

    def _change(self, change: Callable[[dict[str, StoredModel], str | None], str | None]) -> None:
        with self._locked():
            models, default = self._read()
            default = change(models, default)
            rows = [self._row(model) for model in models.values()]
            _write(self.index, {"version": 1, "default": default, "models": rows})

    def _row(self, model: StoredModel) -> dict[str, Any]:
        """An entry in JSON: paths in the folder for models are relative, so that it can move."""
        row = asdict(model)
        row["path"] = self._short(model.path)
        for file in row["files"]:
            file["path"] = self._short(file["path"])
        return row

    def _short(self, path: Path) -> str:
        if path.is_relative_to(self.folder):
            return path.relative_to(self.folder).as_posix()
        return str(path)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with locked(self.lock("index"), None, Report(None)):
            yield


def _keys(model: StoredModel) -> tuple[str, ...]:
    """Return the names that a model may be called, the most exact first."""
    source, name = model.source, model.name
    tagless, plain = name.partition(":")[0], source.partition("#")[0]
    return name, source, plain, source.partition("==")[0], tagless


def _linked(blob: Path) -> bool:
    """Whether another revision in the cache of Hugging Face has this blob too."""
    snapshots = blob.parent.parent / "snapshots"
    return any(link.is_symlink() and link.resolve() == blob for link in snapshots.rglob("*"))


def _key(models: dict[str, StoredModel], name: str) -> str:
    return next((known for known in models if same_name(known, name)), readable_name(name))


def _write(path: Path, value: object) -> None:
    """Replace a file; what was there stays until the new one is complete."""
    text = json.dumps(value, ensure_ascii=True, indent=1) + "\n"
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with open(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise
