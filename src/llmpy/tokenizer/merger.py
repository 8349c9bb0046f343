"""The engine in Rust that merges plain text without special tokens, and what it is made of.

It is the byte-pair model of `tokenizers` over normal and byte tokens only, so that no text can ever
become a control token. Characters without a token get a stand-in id above the vocabulary, and are
written out afterwards: as bytes, as the unknown token, or as an error.
"""

from __future__ import annotations

from typing import Any, NoReturn

from tokenizers import Tokenizer

from llmpy.errors import ModelFileError, OutOfMemory
from llmpy.machine.memory import address_space_left, readable_bytes
from llmpy.tokenizer.kinds import Kind
from llmpy.tokenizer.vocabulary import Vocabulary, cannot_express, is_text

__all__ = ["SPACE", "Engine", "Expansion", "check_room", "pieces_of", "refuse_merge", "unknown_of"]

SPACE = "\u2581"  # sentencepiece's visible space

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


def check_room(tokens: int, merges: int) -> None:
    """Raise OutOfMemory where the process may not map what an engine in Rust takes.

    Rust ends the process where it gets no memory, so that is found out before.
    """
    left = address_space_left()
    # Measured: 340 bytes for each token and merge; 730 to 1,050 for a token whose merges are made.
    needed = (450 * merges + 450 * tokens if merges else 1150 * tokens) + (32 << 20)
    if left is not None and left < needed:
        raise OutOfMemory(
            f"the tokenizer, of {tokens} tokens, needs about {readable_bytes(needed)} of address "
            f"space, and this process may map {readable_bytes(left)} more: raise that (ulimit -v)"
        )


def pieces_of(vocabulary: Vocabulary, *kinds: Kind) -> dict[str, int]:
    """Tokens of these kinds that text can hold, and their ids; of equal ones the first."""
    places = [i for kind in kinds for i in vocabulary.of_kind(kind)]
    tokens = vocabulary.tokens
    if len(places) > 1000:  # fewer are made faster one by one
        tokens = list(tokens)
    pieces = {tokens[i]: i for i in places}
    if len(pieces) < len(places):
        pieces = {tokens[i]: i for i in sorted(places, reverse=True)}
    pieces.pop("", None)
    try:
        "".join(pieces).encode()
    except UnicodeEncodeError:
        pieces = {token: i for token, i in pieces.items() if is_text(token)}
    return pieces


def unknown_of(vocabulary: Vocabulary) -> Expansion:
    """Return the token of a character that has none; not end-of-text, which files name here."""
    unk = vocabulary.unk
    return (unk,) if unk is not None and vocabulary.kinds[unk] == Kind.UNKNOWN else None


def refuse_merge(vocabulary: Vocabulary, place: int, expected: str) -> NoReturn:
    """Raise the error about a merge of the file."""
    found = vocabulary.merges[place]
    raise ModelFileError(
        vocabulary.path, f"tokenizer.ggml.merges[{place}]", expected, ascii(found[:120])
    )
