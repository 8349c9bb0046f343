"""Sentencepiece's byte-pair encoding: pieces with scores, or with Gemma 4's merges.

Every way to make each piece becomes a merge of the engine in Rust. That takes seconds for 262,144
pieces, so the first texts are merged here, by the scores themselves.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from itertools import chain

import numpy as np
import numpy.typing as npt
from tokenizers import Regex, Tokenizer, models, pre_tokenizers

from llmpy import ffi
from llmpy.strings import Strings
from llmpy.tokenizer.kinds import BYTE_TOKENS, Kind
from llmpy.tokenizer.merger import (
    SPACE,
    Engine,
    Expansion,
    check_room,
    pieces_of,
    refuse_merge,
    unknown_of,
)
from llmpy.tokenizer.merging import FirstTexts, LazyEngine, Rank, merged
from llmpy.tokenizer.vocabulary import Vocabulary

__all__ = ["scored_engine"]

MANY_TOKENS = 50_000  # of which the merges are not handed to Rust before much text needs them
SEARCHES = 500  # of merges, before all of them are put into a dictionary
LONGEST_PIECE = 256  # characters; longer tokens can be decoded but never encoded


def scored_engine(vocabulary: Vocabulary) -> Engine | LazyEngine:
    """The engine of such a vocabulary; of a large one, made when much text has come."""
    make = partial(_engine, vocabulary)
    return make() if len(vocabulary.tokens) < MANY_TOKENS else LazyEngine(_first(vocabulary), make)


def _first(vocabulary: Vocabulary) -> Callable[[str], list[int] | None]:
    pieces = pieces_of(vocabulary, Kind.NORMAL, Kind.UNDEFINED)
    lines = vocabulary.model == "gemma4"
    rank = FileRanks(pieces, vocabulary.merges) if lines else ScoreRanks(pieces, vocabulary.scores)
    byte_ids = pieces_of(vocabulary, Kind.BYTE)
    literal = _as_bytes(byte_ids, SPACE.encode())

    def ids_of(word: str) -> list[int] | None:
        ids: list[int] = []
        for part in merged(word, rank):
            piece = pieces.get(part)
            raw = b" " if part == SPACE else part.encode()
            found = (piece,) if piece is not None else _as_bytes(byte_ids, raw)
            if not found:
                return None
            ids += found
        return ids

    cut = re.compile(_words(pieces, lines)).findall
    first = FirstTexts(cut, ids_of, len(vocabulary.tokens))

    def spaced(text: str) -> list[int] | None:
        return None if literal and SPACE in text else first(text.replace(" ", SPACE))

    return spaced


class ScoreRanks:
    """The rank of a merge by the score of the piece that it makes; see `_merges_by_score`."""

    def __init__(self, pieces: Mapping[str, int], scores: npt.NDArray[np.float64]) -> None:
        self._pieces, self._scores = pieces, scores

    def __call__(self, left: str, right: str) -> Rank | None:
        """None where the two make no piece."""
        piece = left + right
        i = self._pieces.get(piece)
        if i is None or not _usable(piece):
            return None
        run = piece == piece[0] * len(piece)
        order = (0, -len(piece), i) if run else (1, 0, i)
        return (-self._scores.item(i), *order, -len(left))


class FileRanks:
    """The rank of a merge by its place in the file; see `_merges_of_file`."""

    def __init__(self, pieces: Mapping[str, int], merges: Sequence[str]) -> None:
        self._pieces, self._merges = pieces, merges
        searched = isinstance(merges, Strings) and ffi.available()
        self._searches = SEARCHES if searched else 0
        self._places: dict[str, int] = {}

    def __call__(self, left: str, right: str) -> Rank | None:
        """None where the two do not merge."""
        piece = left + right
        if piece not in self._pieces or not _usable(piece):
            return None
        if (place := self._place(f"{left} {right}")) is not None:
            return (place,)
        return (len(self._merges), len(piece), -len(left)) if not piece.strip("\n") else None

    def _place(self, merge: str) -> int | None:
        """Return the index of a merge; of equal merges the last counts, as in the engine."""
        if self._searches:
            self._searches -= 1
            assert isinstance(self._merges, Strings)
            return next(reversed(self._merges.places(merge)), None)
        if not self._places:
            self._places = dict(zip(self._merges, range(len(self._merges)), strict=True))
        return self._places.get(merge)


def _usable(piece: str) -> bool:
    """Whether a text can become this piece."""
    return len(piece) <= LONGEST_PIECE and piece not in BYTE_TOKENS


def _words(pieces: Collection[str], lines: bool) -> str:
    """A pattern of what no merge crosses: lines and their ends; words with the spaces before them.

    The latter only where no piece goes on from a word into the next space.
    """
    joined = "\0" + "\0".join(pieces)
    while SPACE * 2 in joined:
        joined = joined.replace(SPACE * 2, SPACE)
    words = joined.count(SPACE) == joined.count("\0" + SPACE) and joined.count("\0") == len(pieces)
    lines = lines or "\n" not in joined
    end = r"\n" if lines else ""
    runs = f"{SPACE}+[^{SPACE}{end}]*|[^{SPACE}{end}]+" if words else rf"[^{end}]+"
    return rf"{runs}|\n+" if lines else runs if words else r"[\s\S]+"


def _engine(vocabulary: Vocabulary) -> Engine:
    """The engine in Rust, with every merge that a text can need."""
    check_room(len(vocabulary.tokens), len(vocabulary.merges))
    n = len(vocabulary.tokens)
    normal = pieces_of(vocabulary, Kind.NORMAL, Kind.UNDEFINED)
    pieces = {token: i for token, i in normal.items() if _usable(token)}
    byte_ids = pieces_of(vocabulary, Kind.BYTE)
    unknown = unknown_of(vocabulary)
    ids = dict(pieces)
    expand: dict[int, Expansion] = {}
    for character in sorted({*chain.from_iterable(pieces), SPACE} - pieces.keys()):
        # no token by itself, but a part of one: it must be there to be merged into it
        ids[character] = n + len(expand)
        raw = b" " if character == SPACE else character.encode()
        expand[ids[character]] = _as_bytes(byte_ids, raw) or unknown
    lines = vocabulary.model == "gemma4"
    merges = (_merges_of_file if lines else _merges_by_score)(vocabulary, pieces, ids)
    ids |= {token: i for token, i in byte_ids.items() if token in BYTE_TOKENS}
    name = "?unknown"
    while name in ids:
        name += "?"
    ids[name] = n + len(expand)
    expand[ids[name]] = unknown
    model = Tokenizer(models.BPE(ids, merges, byte_fallback=True, unk_token=name))
    model.pre_tokenizer = pre_tokenizers.Split(Regex(_words(pieces, lines)), "isolated")
    literal, fuse = _as_bytes(byte_ids, SPACE.encode()), vocabulary.fuse_unk
    return Engine(model, n, expand, spaces=True, literal=literal, fuse=fuse, unknown=unknown)


def _as_bytes(byte_ids: dict[str, int], raw: bytes) -> tuple[int, ...]:
    """The byte tokens that spell `raw`; none where one is missing."""
    names = [f"<0x{byte:02X}>" for byte in raw]
    return tuple(byte_ids[name] for name in names) if byte_ids.keys() >= set(names) else ()


def _merges_of_file(
    vocabulary: Vocabulary, pieces: dict[str, int], ids: dict[str, int]
) -> list[tuple[str, str]]:
    """The file's merges in their order; then those that make whole runs of line ends, if tokens."""
    merges = []
    for i, merge in enumerate(vocabulary.merges):
        at = merge.find(" ", 1)
        left, right = merge[:at], merge[at + 1 :]
        if at < 0 or not right:
            refuse_merge(vocabulary, i, "two tokens with a space between")
        if left in ids and right in ids and left + right in pieces:
            merges.append((left, right))
    runs = sorted(len(piece) for piece in pieces if len(piece) > 1 and set(piece) == {"\n"})
    known = set(merges)
    for n in runs:
        for cut in range(n - 1, 0, -1):
            pair = ("\n" * cut, "\n" * (n - cut))
            if pair not in known and ids.keys() >= set(pair):
                merges.append(pair)
    return merges


def _merges_by_score(
    vocabulary: Vocabulary, pieces: dict[str, int], ids: dict[str, int]
) -> list[tuple[str, str]]:
    """Every way to make a piece of two others (of `ids`), best score first.

    Equal scores: pieces that repeat one character (Llama's runs of spaces) go longest first, which
    makes runs grow from the left as sentencepiece does; others by id, the order of training.
    """
    scores = vocabulary.scores.tolist()
    order = sorted(
        (-scores[i], 0, -len(piece), i, piece)
        if piece == piece[0] * len(piece)
        else (-scores[i], 1, 0, i, piece)
        for piece, i in pieces.items()
        if len(piece) > 1
    )
    return [
        (piece[:cut], piece[cut:])
        for *_, piece in order
        for cut in range(len(piece) - 1, 0, -1)
        if piece[:cut] in ids and piece[cut:] in ids
    ]
