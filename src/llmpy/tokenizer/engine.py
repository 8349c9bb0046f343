"""Vocabulary -> the merging engine: plain text without special tokens -> ids, in Rust.

Both families become the byte-pair model of `tokenizers` over normal and byte tokens only, so that
no text can ever become a control token. Characters without a token get a stand-in id above the
vocabulary, and are written out afterwards: as bytes, as the unknown token, or as an error.
"""

from __future__ import annotations

import gc
import re
from collections.abc import Sequence
from functools import partial
from itertools import chain
from typing import Any, NoReturn

from tokenizers import Regex, Tokenizer, models, pre_tokenizers

from llmpy import native
from llmpy.errors import ModelFileError
from llmpy.strings import Strings
from llmpy.tokenizer.alphabet import CHARACTERS, to_characters
from llmpy.tokenizer.kinds import BYTE_TOKENS, Kind
from llmpy.tokenizer.merging import FirstTexts, LazyEngine
from llmpy.tokenizer.pieces import Unigram, WordPieces
from llmpy.tokenizer.pretokenizers import FAMILIES, Family
from llmpy.tokenizer.vocabulary import Vocabulary, cannot_express, is_text
from llmpy.tokenizer.world import World

__all__ = ["SPACE", "Engine", "build_engine"]

SPACE = "\u2581"  # sentencepiece's visible space
MANY_MERGES = 50_000  # that are not handed to Rust before a text needs them
LONGEST_PIECE = 256  # characters; longer sentencepiece tokens can be decoded but never encoded

Expansion = tuple[int, ...] | None


class Engine:
    """Text -> ids. `expand` says what each stand-in id becomes; None is an error.

    `literal` is what a sentencepiece SPACE that stands in the text itself becomes, so that decoding
    tells it from a space; empty where that cannot be said. `fuse`: one unknown token (`unknown`)
    stands for all neighbours without tokens.
    """

    def __init__(
        self,
        model: Tokenizer,
        n_vocab: int,
        expand: dict[int, Expansion],
        spaces: bool,
        literal: tuple[int, ...],
        fuse: bool = False,
        unknown: Expansion = None,
    ) -> None:
        self._model = model
        self._n_vocab = n_vocab
        self._expand = expand
        self._spaces = spaces
        self._literal = literal
        self._fuse = fuse
        self._unknown = unknown

    def encode(self, text: str, drop: bool = False) -> list[int]:
        """Ids of a text; a caller who wants a leading space has put it there.

        `drop`: leave out what cannot be expressed.
        """
        if not self._spaces:
            return self._merge(text, drop)
        if not self._literal or SPACE not in text:
            return self._merge(text.replace(" ", SPACE), drop)
        ids: list[int] = []
        for i, part in enumerate(text.split(SPACE)):
            if i:
                ids += self._literal
            if part:
                ids += self._merge(part.replace(" ", SPACE), drop)
        return ids

    def _merge(self, text: str, drop: bool) -> list[int]:
        encoding = self._model.encode(text, add_special_tokens=False)
        ids: list[int] = encoding.ids
        if self._expand and ids and max(ids) >= self._n_vocab:
            return self._written_out(ids, text, encoding, drop)
        return ids

    def _written_out(self, ids: list[int], text: str, encoding: Any, drop: bool) -> list[int]:
        out: list[int] = []
        before: object = None  # the word of the token before, where that is an unknown one to fuse
        for token, (start, end), word in zip(ids, encoding.offsets, encoding.word_ids, strict=True):
            if token < self._n_vocab:
                out.append(token)
                before = None
                continue
            expansion = self._expand[token]
            if expansion is None:
                if drop:
                    continue
                raise cannot_express(repr(text[start:end]))
            place = (word if not self._spaces else 0,)
            unknown = self._fuse and expansion == self._unknown
            if not unknown or place != before:
                out += expansion
            before = place if unknown else None
        return out


def build_engine(vocabulary: Vocabulary) -> Engine | LazyEngine | Unigram | WordPieces | World:
    """The engine of a vocabulary; raises ModelFileError for merges that it cannot use.

    Where these are many, only the first text that is not short finds out.
    """
    if vocabulary.model == "t5":
        return Unigram(vocabulary)
    if vocabulary.model == "rwkv":
        return World(vocabulary)
    if vocabulary.model == "bert":
        return WordPieces(vocabulary)
    if vocabulary.model == "gpt2":
        first = _first_texts(vocabulary) if len(vocabulary.merges) >= MANY_MERGES else None
        make = partial(_byte_level, vocabulary)
        return LazyEngine(first, make) if first is not None else make()
    return _sentencepiece(vocabulary)


def _first_texts(vocabulary: Vocabulary) -> FirstTexts | None:
    tokens, merges = Strings.of(vocabulary.tokens), Strings.of(vocabulary.merges)
    if tokens is None or merges is None or not native.available():
        return None
    family = FAMILIES[vocabulary.pre]
    cut = _words(family).pre_tokenize_str
    return FirstTexts(vocabulary.kinds, tokens, merges, cut, family.whole_words)


def _byte_level(vocabulary: Vocabulary) -> Engine:
    """Byte-level byte-pair encoding (GPT-2 and its descendants): merges in the file's order."""
    ids = _pieces(vocabulary, Kind.NORMAL, Kind.UNDEFINED)
    family = FAMILIES[vocabulary.pre]
    n = len(vocabulary.tokens)
    unknown = _unknown(vocabulary)
    expand: dict[int, Expansion] = {}
    for character in CHARACTERS:
        if character not in ids:
            stand_in = n + len(expand)
            ids[character] = stand_in
            expand[stand_in] = unknown
    # Rust joins each merge in a buffer as long as the longest token, and panics where it is short.
    merges = list(vocabulary.merges)
    ids["\0" * _longest(merges)] = n + len(expand)
    try:
        bpe = models.BPE(ids, _pairs(merges), ignore_merges=family.whole_words)
    except Exception:  # tokenizers has no narrower type, and does not say which merge it was
        bpe = models.BPE(ids, _usable(vocabulary, ids), ignore_merges=family.whole_words)
    model = Tokenizer(bpe)
    model.pre_tokenizer = _words(family)
    fuse = vocabulary.fuse_unk
    return Engine(model, n, expand, spaces=False, literal=(), fuse=fuse, unknown=unknown)


def _words(family: Family) -> Any:
    """What cuts a text into words, and writes their bytes as characters."""
    cuts = [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in family.patterns]
    to_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return pre_tokenizers.Sequence([*cuts, to_bytes])


def _unknown(vocabulary: Vocabulary) -> Expansion:
    """What a character becomes that has no tokens. Files name end-of-text here: that is no text."""
    unk = vocabulary.unk
    return (unk,) if unk is not None and vocabulary.kinds[unk] == Kind.UNKNOWN else None


def _longest(merges: Sequence[str]) -> int:
    """Bytes of the longest merge, which no merge with less than a quarter of its letters can be."""
    letters = max(map(len, merges), default=0)
    long = (merge for merge in merges if 4 * len(merge) >= letters)
    return max((len(merge.encode("utf-8", "surrogateescape")) for merge in long), default=1)


def _pieces(vocabulary: Vocabulary, *kinds: Kind) -> dict[str, int]:
    """Tokens of these kinds that text can hold, and their ids; of equal ones the first."""
    tokens = list(vocabulary.tokens)
    places = [i for kind in kinds for i in vocabulary.of_kind(kind)]
    pieces = {tokens[i]: i for i in places}
    if len(pieces) < len(places):
        pieces = {tokens[i]: i for i in sorted(places, reverse=True)}
    pieces.pop("", None)
    try:
        "".join(pieces).encode()
    except UnicodeEncodeError:
        pieces = {token: i for token, i in pieces.items() if is_text(token)}
    return pieces


def _pairs(merges: Sequence[str]) -> Any:
    """The merges cut at their spaces, not looked at: Rust refuses what are no pairs of tokens."""
    # 300,000 new tuples would make the collector walk the whole heap again and again for nothing.
    collecting = gc.isenabled()
    gc.disable()
    try:
        return [tuple(merge.split(" ")) for merge in merges]
    finally:
        if collecting:
            gc.enable()


def _usable(vocabulary: Vocabulary, ids: dict[str, int]) -> list[tuple[str, str]]:
    """The file's merges, after a closer look than Rust's; the first bad one raises.

    Converters rename tokens that a model's authors added ("ĠĠ" becomes two spaces) and leave the
    merges as they were: these names are put back into `ids`. Merges that involve tokens which text
    must never become (control tokens) are dropped.
    """
    for i in vocabulary.of_kind(Kind.USER_DEFINED):
        raw = vocabulary.tokens[i].encode("utf-8", "surrogateescape")
        ids.setdefault(to_characters(raw), i)
    known = ids.keys() | set(vocabulary.tokens)
    usable = []
    for i, merge in enumerate(vocabulary.merges):
        left, _, right = merge.partition(" ")
        names = (left, right, left + right)
        if not left or not right or " " in right:
            _refuse(vocabulary, i, "two tokens with one space between")
        for name in names:
            if name not in known:
                _refuse(vocabulary, i, f"tokens of the vocabulary (it has no {name[:60]!a})")
        if all(name in ids for name in names):
            usable.append((left, right))
    return usable


def _refuse(vocabulary: Vocabulary, place: int, expected: str) -> NoReturn:
    found = vocabulary.merges[place]
    raise ModelFileError(
        vocabulary.path, f"tokenizer.ggml.merges[{place}]", expected, ascii(found[:120])
    )


def _sentencepiece(vocabulary: Vocabulary) -> Engine:
    """Sentencepiece's byte-pair encoding: the neighbours whose union scores best merge first.

    Gemma 4 says its merges instead, in their order, and never joins a line and its end.
    """
    n = len(vocabulary.tokens)
    normal = _pieces(vocabulary, Kind.NORMAL, Kind.UNDEFINED)
    pieces = {
        token: i
        for token, i in normal.items()
        if len(token) <= LONGEST_PIECE and token not in BYTE_TOKENS
    }
    byte_ids = _pieces(vocabulary, Kind.BYTE)
    unknown = _unknown(vocabulary)
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
    patterns = [r"[^\n]+|\n+"] if lines else []
    if not any(re.search(f"[^{SPACE}]{SPACE}", token) for token in pieces if SPACE in token[1:]):
        # No piece goes on from a word into the next space, so no merge does: words are independent.
        patterns.append(f"{SPACE}+[^{SPACE}]*|[^{SPACE}]+")
    cuts = [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in patterns]
    model.pre_tokenizer = pre_tokenizers.Sequence(cuts)
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
            _refuse(vocabulary, i, "two tokens with a space between")
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
