"""A vector store: passages of text files and their embeddings, in one SQLite file."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import llmpy
from llmpy.chains.tokens import split_text

__all__ = ["Passage", "Store"]

MOST_BYTES = 16 << 20  # of a file
BATCH = 32  # texts that are embedded at once
TABLES = """
create table if not exists about (key text primary key, value text);
create table if not exists documents (id integer primary key, source text unique, digest text);
create table if not exists passages (
    id integer primary key, document integer references documents, line integer, text text);
create index if not exists of_document on passages (document);
create virtual table if not exists vectors using vec0(
    vector float[{dimensions}] distance_metric=cosine);
"""
FIND = """
select passages.text, documents.source, passages.line, 1 - found.distance
from (select rowid, distance from vectors where vector match ? and k = ?) as found
join passages on passages.id = found.rowid join documents on documents.id = passages.document
order by found.distance, passages.id
"""


@dataclass(frozen=True)
class Passage:
    """A part of a text: its source, the number of its first line, and its similarity, -1 to 1."""

    text: str
    source: str
    line: int
    score: float


class Store:
    """A file with passages and their embeddings by the model `embedder`: "" is one in memory.

    Passages have up to `tokens` tokens, and begin with the last `overlap` tokens of the one before.
    A store belongs to one model: ValueError for another one. Needs `pip install 'llmpy[chains]'`.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        embedder: llmpy.Model,
        *,
        tokens: int = 200,
        overlap: int = 30,
    ) -> None:
        self.embedder, self.tokens, self.overlap = embedder, tokens, overlap
        self._db = _connected(os.fspath(path) or ":memory:")
        dimensions = embedder.embed("size").shape[1]
        self._db.execute(TABLES.format(dimensions=dimensions))
        model = embedder.saved.fingerprint(embedder.path)
        about = dict(self._db.execute("select key, value from about").fetchall())
        new = {"model": model, "tokens": str(tokens), "overlap": str(overlap)}
        if about.get("model", model) != model:
            self._db.close()
            raise ValueError(
                f"{path}: expected the embeddings of this model, found those of another one: "
                "delete the file, or name the model that it was made with"
            )
        if about != new:
            self._db.execute("delete from documents; delete from passages; delete from vectors")
            rows = list(new.items())
            self._db.executemany("insert or replace into about values (?, ?)", rows)

    def add_text(self, text: str, source: str, check: Callable[[], object] | None = None) -> int:
        """Add a text, in place of an older one from `source`; return the number of its passages.

        0 if the store has this very text. `check` is called before each batch is embedded, and may
        raise.
        """
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
        row = self._db.execute(
            "select digest from documents where source = ?", (source,)
        ).fetchone()
        if row == (digest,):
            return 0
        passages = self._passages(text)
        vectors: list[Any] = []
        for i in range(0, len(passages), BATCH):
            if check is not None:
                check()
            texts = [text for _, text in passages[i : i + BATCH]]
            vectors.extend(self.embedder.embed(texts, truncate=True))
        with self._db:
            self.remove(source)
            insert = "insert into documents (source, digest) values (?, ?) returning id"
            document = self._db.execute(insert, (source, digest)).fetchone()[0]
            for (line, passage), vector in zip(passages, vectors, strict=True):
                insert = "insert into passages (document, line, text) values (?, ?, ?) returning id"
                number = self._db.execute(insert, (document, line, passage)).fetchone()[0]
                row = (number, _blob(vector))
                self._db.execute("insert into vectors (rowid, vector) values (?, ?)", row)
        return len(passages)

    def add_folder(
        self, folder: str | os.PathLike[str], check: Callable[[], object] | None = None
    ) -> int:
        """Bring the store up to date with the text files of a folder; return how many changed.

        All files are read that are UTF-8 text and at most 16 MiB, in all folders below too, but
        none whose name, or whose folder's name, begins with a dot. Only changed files are embedded
        again; those that are gone are removed. Raises OSError for a folder that cannot be read.
        """
        base, changed = Path(folder), 0
        if not base.is_dir():
            raise NotADirectoryError(f"expected a folder with texts, found none at {base}")
        there = set()
        for path in sorted(base.rglob("*")):
            name = path.relative_to(base).as_posix()
            if any(part.startswith(".") for part in Path(name).parts) or not path.is_file():
                continue
            if path.stat().st_size <= MOST_BYTES and (text := _text(path)):
                there.add(name)
                changed += bool(self.add_text(text, name, check))
        for (source,) in self._db.execute("select source from documents").fetchall():
            if source not in there:
                changed += 1
                self.remove(source)
        return changed

    def remove(self, source: str) -> None:
        """Remove the text from that source, if there is one."""
        inside = "(select id from documents where source = ?)"
        passages = f"(select id from passages where document in {inside})"
        with self._db:
            self._db.execute(f"delete from vectors where rowid in {passages}", (source,))
            self._db.execute(f"delete from passages where document in {inside}", (source,))
            self._db.execute("delete from documents where source = ?", (source,))

    def search(self, query: str, k: int = 4) -> list[Passage]:
        """Return the `k` passages that are most similar to the query, best first."""
        if not 1 <= k <= 1000:
            raise ValueError(f"search: k: expected 1 to 1000, found {k}")
        vector = self.embedder.embed(query, truncate=True)[0]
        rows: Iterable[Any] = self._db.execute(FIND, (_blob(vector), k)).fetchall()
        return [Passage(*row) for row in rows]

    def __len__(self) -> int:
        return int(self._db.execute("select count(*) from passages").fetchone()[0])

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _passages(self, text: str) -> list[tuple[int, str]]:
        """Split a text: the number of the first line of each passage, and the passage."""
        found, at = [], 0
        tokenizer = self.embedder.tokenizer
        for part in split_text(text, self.tokens, tokenizer, overlap=self.overlap):
            at = max(0, text.find(part, max(0, at)))
            if body := part.strip():
                start = at + len(part) - len(part.lstrip())
                found.append((text.count("\n", 0, start) + 1, body))
            at += 1
        return found


def _connected(path: str) -> Any:
    """Open the file. APSW, as many a Python's own sqlite3 cannot load extensions."""
    try:
        import apsw
        import sqlite_vec  # type: ignore[import-untyped]
    except ImportError as error:
        raise ImportError("a vector store needs: pip install 'llmpy[chains]'") from error
    try:
        database = apsw.Connection(path)
        database.set_busy_timeout(10_000)
        database.enable_load_extension(True)
        sqlite_vec.load(database)
        database.enable_load_extension(False)
        database.execute("pragma journal_mode = wal")
    except apsw.NotADBError as error:
        raise ValueError(f"{path}: expected a vector store, found another kind of file") from error
    except apsw.CantOpenError as error:
        raise OSError(f"{path}: the vector store cannot be opened") from error
    return database


def _blob(vector: Any) -> bytes:
    return np.asarray(vector, "<f4").tobytes()


def _text(path: Path) -> str | None:
    """The text of a file; None for what is not text."""
    data = path.read_bytes()
    if b"\0" in data[:4096]:
        return None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return None
