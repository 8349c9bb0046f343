"""Downloading one file: resumed, verified, shared by processes, and there only when it is whole.

Bytes are written to a part file beside the target, named by the file's checksum, and synced at each
16 MiB. Of a part file that is found, whole chunks are trusted: so a kill or a power cut loses at
most one. Only the checksum of the whole file makes it the target.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Literal

from filelock import FileLock, Timeout

from llmpy.errors import PullError
from llmpy.hub import web
from llmpy.hub.events import Report
from llmpy.machine.memory import readable_bytes

__all__ = ["CHUNK", "Digest", "RemoteFile", "check_room", "download", "file_digest", "locked"]

CHUNK = 16 << 20
MARGIN = 64 << 20  # bytes that stay free on the disk
PIECE = 1 << 18
MOST_FAILURES = 6  # in a row, without a MiB in between
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 10.0  # seconds before another try
SLOWEST, PATIENCE = 1024, 30.0  # fewer bytes a second over so many seconds are a failure


@dataclass(frozen=True, slots=True)
class Digest:
    """A checksum: "sha256" of the bytes, or "git", by which git names a small file."""

    kind: Literal["sha256", "git"]
    hex: str

    def __post_init__(self) -> None:
        if not re.fullmatch("[0-9a-f]{64}" if self.kind == "sha256" else "[0-9a-f]{40}", self.hex):
            raise PullError(
                f"checksum: expected {self.kind} in hexadecimal, found {self.hex!r:.80}"
            )


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file to download: what it is called, where it is, its size if known, and its checksum."""

    name: str
    url: str
    size: int | None
    digest: Digest
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


def download(file: RemoteFile, target: Path, lock: Path, report: Report) -> bool:
    """Put the file at `target` unless it is there; return whether this call downloaded any of it.

    Another process (or thread) that wants the same holds `lock`, and this one waits for it. What is
    left by an earlier call is continued. Raises PullError; Ctrl-C leaves the part file.
    """
    part = target.with_name(f"{file.digest.hex}.llmpy-part")
    with locked(lock, part, report):
        if target.is_file() and file.size in (None, target.stat().st_size):
            return False
        target.parent.mkdir(parents=True, exist_ok=True)
        wrong = ""
        for _ in range(2):  # a part file of bytes that were wrong is worth one more try
            try:
                with _opened_part(part) as opened:
                    transfer = _Transfer(file, opened, report, part)
                    transfer.run()
                    wrong = transfer.wrong()
            except BaseException:
                if part.stat().st_size == 0:
                    part.unlink()
                raise
            if not wrong:
                os.replace(part, target)
                _sync_folder(target.parent)
                return True
            part.unlink()
            report("retry", 0, wrong, always=True)
        raise PullError(f"{file.name}: {wrong}; the source, or what is between, changes the bytes")


@contextlib.contextmanager
def locked(path: Path, growing: Path | None, report: Report) -> Iterator[None]:
    """Hold a lock; while another process has it, report how far its file `growing` is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        while True:
            try:
                lock.acquire(timeout=0.25)
                break
            except Timeout:
                size = 0
                with contextlib.suppress(OSError):
                    size = growing.stat().st_size if growing else 0
                report("wait", size, "another process downloads it")
    except NotImplementedError as error:
        raise PullError(
            f"{path.parent}: this file system has no locks; set LLMPY_MODELS (or HF_HUB_CACHE) to "
            "a folder on a local disk"
        ) from error
    try:
        yield
    finally:
        lock.release()


def check_room(folder: Path, needed: int) -> None:
    """Raise PullError unless `needed` bytes, and some more, are free where `folder` will be."""
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if free < needed + MARGIN:
        raise PullError(
            f"{folder}: {readable_bytes(needed)} are needed beside {readable_bytes(MARGIN)} that "
            f"stay free, and {readable_bytes(free)} are free; remove models with llmpy rm, or set "
            "LLMPY_MODELS (HF_HUB_CACHE) to a folder on another disk"
        )


def file_digest(path: Path, report: Report | None = None) -> str:
    """SHA-256 of a file, in hexadecimal."""
    digest, done = hashlib.sha256(), 0
    with path.open("rb") as file:
        while data := file.read(PIECE * 4):
            digest.update(data)
            done += len(data)
            if report:
                report("check", done)
    return digest.hexdigest()


@contextlib.contextmanager
def _opened_part(path: Path) -> Iterator[IO[bytes]]:
    """The part file, cut to whole chunks; synced at the end, however it comes."""
    number = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
    with os.fdopen(number, "r+b", buffering=0) as opened:
        opened.truncate(os.fstat(opened.fileno()).st_size // CHUNK * CHUNK)
        try:
            yield opened
        finally:
            with contextlib.suppress(OSError):
                os.fsync(opened.fileno())


class _Transfer:
    """Tries until a part file is whole: what is here already, its checksum, what failed."""

    def __init__(self, file: RemoteFile, opened: IO[bytes], report: Report, part: Path) -> None:
        self.file, self.opened, self.report, self.part = file, opened, report, part
        self.size = file.size
        self.done = 0
        self.ranges = True  # until the server lies about them
        self.digest = hashlib.sha256() if file.digest.kind == "sha256" else hashlib.sha1()
        if file.digest.kind == "git":
            self.digest.update(b"blob %d\0" % (file.size or 0))

    def run(self) -> None:
        """Receive all bytes; PullError where that cannot be done."""
        self._read_what_is_here()
        failures, marked = 0, self.done
        while self.size is None or self.done < self.size:
            try:
                self._receive()
                break
            except web.Broken as error:
                if self.done - marked >= 1 << 20:
                    failures, marked = 0, self.done
                failures += 1
                kept = f"{readable_bytes(self.done)} are kept; the same command goes on from there"
                if failures >= MOST_FAILURES:
                    raise PullError(
                        f"{self.file.name}: {error} ({failures} tries). {kept}"
                    ) from error
                self.report("retry", self.done, str(error), always=True)
                pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (failures - 1))
                time.sleep(max(pause, error.wait))

    def wrong(self) -> str:
        """Return what is wrong with the bytes that are here; "" for nothing."""
        wanted = self.file.digest
        if self.digest.hexdigest() == wanted.hex:
            return ""
        return f"{wanted.kind}: expected {wanted.hex}, found {self.digest.hexdigest()}"

    def _read_what_is_here(self) -> None:
        if self.size is not None and os.fstat(self.opened.fileno()).st_size > self.size:
            self.opened.truncate(0)
        while data := self.opened.read(PIECE):
            self.digest.update(data)
            self.done += len(data)
            self.report("check", self.done)

    def _receive(self) -> None:
        """One connection, from where we are to the end."""
        start = self.done if self.ranges else 0
        try:
            answer, begin, size = web.open_range(self.file.url, self.file.headers, start)
        except web.Broken as error:
            self.ranges = self.ranges and not str(error).startswith("Content-Range")
            raise
        with answer:
            if None not in (size, self.size) and size != self.size:
                self.ranges = False
                raise web.Broken(f"size: expected {self.size} bytes, found {size}")
            self.size = size if self.size is None else self.size
            if self.report.total is None:
                self.report.total = self.size
            check_room(self.part.parent, (self.size or self.done) - self.done)
            self._take(answer, begin)

    def _take(self, answer: http.client.HTTPResponse, begin: int) -> None:
        """Read an answer that begins at byte `begin`; what is here already is passed over."""
        at, marked, since = begin, begin, time.monotonic()
        while self.size is None or at < self.size:
            try:
                data = answer.read1(PIECE)
            except (OSError, ValueError, http.client.HTTPException) as error:
                raise web.Broken(str(error) or type(error).__name__) from error
            if not data:
                if self.size is None and answer.isclosed():
                    return
                raise web.Broken(f"the connection ended after {at} bytes")
            at += len(data)
            fresh = data[max(0, len(data) - (at - self.done)) :] if at > self.done else b""
            if self.size is not None:
                fresh = fresh[: self.size - self.done]
            self._write(fresh)
            if (now := time.monotonic()) - since > PATIENCE:
                if at - marked < SLOWEST * PATIENCE:
                    raise web.Broken(f"{at - marked} bytes came in {now - since:.0f} seconds")
                marked, since = at, now

    def _write(self, data: bytes) -> None:
        """Append, and sync at the end of each chunk."""
        self.digest.update(data)
        while data:
            room = CHUNK - self.done % CHUNK
            try:
                n = self.opened.write(data[:room])
            except OSError as error:
                raise PullError(f"{self.part}: it cannot be written ({error})") from error
            self.done, data = self.done + n, data[n:]
            if self.done % CHUNK == 0:
                os.fsync(self.opened.fileno())
                if self.size is None:
                    check_room(self.part.parent, 0)
        self.report("download", self.done)


def _sync_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):  # Windows cannot
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
