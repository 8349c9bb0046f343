"""`llmpy dates`: dates in any form to the Extended Date/Time Format."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, TYPE_CHECKING, BinaryIO

import click

from llmpy.cli.options import PATH, embedded, load
from llmpy.cli.streams import note
from llmpy.cli.terminal import for_terminal

if TYPE_CHECKING:
    from llmpy.apps import dates

LONGEST = 1 << 16  # bytes of a line that are kept; the model reads 200 characters
EVERY = 10.0  # seconds between lines about progress where stderr is no terminal
OFTEN = 0.2  # where it is one


@click.command(name="dates")
@click.option("-m", "--model", type=PATH, help="Another model of dates.  [that of the package]")
@click.option(
    "-t", "--n-threads", type=click.IntRange(1), help="Number of threads.  [all CPUs allowed]"
)
@click.option("-f", "--file", type=PATH, help="A file with one text per line.")
@click.option("-o", "--out", type=PATH, help="Write to this file.  [stdout]")
@click.option(
    "--resume", is_flag=True, help="With -f and -o: go on behind the lines that are in -o."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
@click.argument("texts", metavar="[TEXT]...", nargs=-1)
def command(
    model: Path | None,
    n_threads: int | None,
    file: Path | None,
    out: Path | None,
    resume: bool,
    as_json: bool,
    texts: tuple[str, ...],
) -> None:
    """Print the dates in each TEXT in EDTF (ISO 8601-2), a line for each TEXT.

    Without TEXT and -f, each line of stdin is a text. Several dates are separated by ';'; behind
    them comes what EDTF has no sign for ("born", "late"), and "?" with the confidence, 0 to 1,
    where the answer is not certain. The model is part of the package: nothing is downloaded.
    """
    if texts and file is not None:
        raise click.UsageError("expected TEXT or -f, found both")
    if resume and (file is None or out is None):
        raise click.UsageError("--resume needs -f and -o")
    parser = _parser(model, n_threads)
    with ExitStack() as stack:
        progress = _Progress(show=file is not None and (out is not None or not _is_terminal()))
        if texts:
            source: Iterable[str] = texts
        elif file is not None:
            source = _lines(stack.enter_context(file.open("rb")), progress)
        elif sys.stdin is None:
            raise click.ClickException("stdin: expected texts, found it closed")
        else:
            source = _lines(sys.stdin.buffer, progress)
        target: IO[str] = sys.stdout
        if out is not None:
            n_done = _cut_to_whole_lines(out) if resume else 0
            progress.skip(source, n_done)
            mode = "a" if resume else "w"
            target = stack.enter_context(out.open(mode, encoding="utf-8", newline="\n"))
        stack.callback(progress.end)
        at_once = file is None and not texts and sys.stdin.isatty()
        for answer in _answers(parser, source, at_once):
            written = _json(answer) if as_json else _in_words(answer, target)
            target.write(written + "\n")
            if at_once:
                target.flush()
            progress.advance()


def _parser(path: Path | None, n_threads: int | None) -> dates.Parser:
    from llmpy.apps import dates

    return dates.Parser(load(embedded() if path is None else path, n_threads=n_threads))


def _answers(parser: dates.Parser, texts: Iterable[str], at_once: bool) -> Iterator[dates.Answer]:
    """The answers, each before the next line is asked for where a person types them."""
    if not at_once:
        yield from parser.parse_many(texts)
        return
    note("One text a line; Ctrl-D ends.")
    for text in texts:
        yield from parser.parse_many((text,))


def _in_words(answer: dates.Answer, target: IO[str]) -> str:
    """A line for people: values, what else is said of them, and whether to trust it."""
    parts = [answer.edtf or "no date"]
    words = [value for v in answer for value in (v.kind, v.part, v.calendar) if value]
    if words:
        parts.append(", ".join(dict.fromkeys(words)))
    if not answer.certain:
        parts.append(f"?  (confidence {answer.confidence:.2f})")
    return for_terminal("  ".join(parts), target)


def _json(answer: dates.Answer) -> str:
    return json.dumps(answer.as_dict(), ensure_ascii=False, allow_nan=False).translate(SEPARATORS)


# Halves of characters, and line ends that are none of JSON but of other readers of lines.
SEPARATORS = {c: f"\\u{c:04x}" for c in (0x85, 0x2028, 0x2029, *range(0xD800, 0xE000))}


def _is_terminal() -> bool:
    return sys.stdout.isatty()


def _lines(file: BinaryIO, progress: _Progress) -> Iterator[str]:
    """The lines of a file in UTF-8, however long they are."""
    progress.measure(file)
    first = True
    while line := file.readline(LONGEST):
        n_bytes, part = len(line), line
        while not part.endswith(b"\n") and (part := file.readline(LONGEST)):
            n_bytes += len(part)  # the rest of a long line, which nobody reads
        text = line.decode("utf-8", "replace")
        progress.n_wrong += "\ufffd" in text and b"\xef\xbf\xbd" not in line
        progress.n_read += n_bytes
        yield text.removeprefix("\ufeff" if first else "").removesuffix("\n").removesuffix("\r")
        first = False


def _cut_to_whole_lines(path: Path) -> int:
    """Return how many lines a file has; a last one without its end is removed from it."""
    n = whole = 0
    if not path.exists():
        return 0
    with path.open("r+b") as file:
        while block := file.read(1 << 20):
            n += block.count(b"\n")
            if b"\n" in block:
                whole = file.tell() - len(block) + block.rindex(b"\n") + 1
        file.truncate(whole)
    return n


class _Progress:
    """The progress of reading a file, on stderr."""

    def __init__(self, show: bool) -> None:
        self.n_read = 0  # bytes
        self.n_wrong = 0  # lines
        self._n_bytes = 0
        self._n_done = self._n_skipped = 0  # texts
        self._show = show
        self._is_terminal = sys.stderr.isatty()
        self._begin = self._last = time.monotonic()

    def measure(self, file: BinaryIO) -> None:
        """Learn how much there is to read, where that is known."""
        try:
            self._n_bytes = os.fstat(file.fileno()).st_size
        except (OSError, ValueError):
            self._n_bytes = 0

    def skip(self, texts: Iterable[str], n: int) -> None:
        """Read `n` texts that are answered already."""
        for _ in zip(range(n), texts, strict=False):
            self._n_skipped += 1
        if n:
            note(f"{self._n_skipped} lines are done already")

    def advance(self) -> None:
        """Count an answer, and say so from time to time."""
        self._n_done += 1
        now = time.monotonic()
        if self._show and now - self._last >= (OFTEN if self._is_terminal else EVERY):
            self._last = now
            begin, end = ("\r\x1b[K", "") if self._is_terminal else ("", "\n")
            note(f"{begin}{self._so_far(now)}", end=end)

    def end(self) -> None:
        """Say how it went."""
        if self._show:
            begin = "\r\x1b[K" if self._is_terminal else ""
            note(f"{begin}{self._so_far(time.monotonic())}")
        if self.n_wrong:
            note(f"{self.n_wrong} lines are not UTF-8; their wrong bytes were read as U+FFFD")

    def _so_far(self, now: float) -> str:
        per_second = self._n_done / max(now - self._begin, 1e-9)
        share = f" ({self.n_read / self._n_bytes:.0%} read)" if self._n_bytes else ""
        return f"{self._n_skipped + self._n_done:,} lines{share}, {per_second:,.0f} a second"
