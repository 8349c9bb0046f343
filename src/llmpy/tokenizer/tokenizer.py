"""The tokenizer: text -> ids and ids -> text, whole or one id at a time.

Special tokens are never read out of a text unless the caller asks. Decoding undoes encoding for
every text that the vocabulary can express; a character without any token becomes the unknown
token, or an error, and without byte tokens sentencepiece's U+2581 becomes a space.
"""

from __future__ import annotations

import codecs
import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, SupportsIndex

from llmpy import checks
from llmpy.errors import ModelFileError, TokenizerError
from llmpy.tokenizer.alphabet import from_characters
from llmpy.tokenizer.engine import build_engine
from llmpy.tokenizer.kinds import BYTE_TOKENS, Kind
from llmpy.tokenizer.merger import SPACE
from llmpy.tokenizer.specials import Splitter
from llmpy.tokenizer.stable import StableText
from llmpy.tokenizer.vocabulary import Vocabulary, read_vocabulary
from llmpy.tokenizer.world import unescaped

__all__ = ["Decoder", "Tokenizer", "build_tokenizer"]


def build_tokenizer(
    metadata: Mapping[str, Any], path: Path | None = None, n_embedded: int | None = None
) -> Tokenizer:
    """The tokenizer that a model file's metadata describes; `path` is for error messages.

    `n_embedded`: how many tokens the model has embeddings of (None: of all).
    Raises ModelFileError (its field is the metadata key) for a vocabulary that is missing or
    contradicts itself, UnsupportedModelError for a `tokenizer.ggml.model` or `.pre` not known.
    """
    vocabulary = read_vocabulary(metadata, path)
    n = len(vocabulary.tokens)
    if n_embedded is not None and n_embedded < n - n // 16:  # real files have some tokens more
        expected = f"about {n_embedded} tokens, the rows of the embedding and output tensors"
        raise ModelFileError(path, "tokenizer.ggml.tokens", expected, f"{n} tokens")
    return Tokenizer(vocabulary, n_embedded)


class Tokenizer:
    """A tokenizer: text to token ids and back; immutable, usable by any number of threads.

    `bos`, `eos`, `unk`: ids, or None. `add_bos`, `add_eos`: whether the file requires them around a
    text. `end_ids`: all end-of-text and end-of-turn tokens. `n_vocab`: the number of ids.
    `n_embedded`: the number of ids that the model has embeddings of, which it can read and
    generate. `infill_ids`: the tokens before the prefix, the suffix and the middle for fill in the
    middle, or None.
    """

    def __init__(
        self, vocabulary: Vocabulary, n_embedded: int | None = None, engine: Any = None
    ) -> None:
        self.n_vocab = len(vocabulary.tokens)
        self.n_embedded = self.n_vocab if n_embedded is None else min(n_embedded, self.n_vocab)
        self.bos = vocabulary.bos
        self.eos = vocabulary.eos
        self.unk = vocabulary.unk
        self.add_bos = vocabulary.add_bos
        self.add_eos = vocabulary.add_eos
        self.infill_ids = vocabulary.infill
        self.end_ids = frozenset(i for i in vocabulary.end_ids if i < self.n_embedded)
        self._vocabulary = vocabulary
        self._engine = build_engine(vocabulary) if engine is None else engine
        self._always = self._splitter(Kind.USER_DEFINED)
        self._special: Splitter | None = None
        self._ids: dict[str, int] | None = None
        self._stable: dict[bool, StableText] = {}
        self._pieces: dict[int, bytes] = {}
        # What decoders add per id, special=False and True; bytes where they are no whole characters
        self._known: tuple[dict[int, str | bytes], dict[int, str | bytes]] = ({}, {})

    def __repr__(self) -> str:
        family = self._vocabulary.pre or self._vocabulary.model
        return f"<Tokenizer {family}, {self.n_vocab} tokens>"

    def limited(self, n_embedded: int) -> Tokenizer:
        """Return this tokenizer for a model that has embeddings of `n_embedded` tokens."""
        if min(n_embedded, self.n_vocab) == self.n_embedded:
            return self
        return Tokenizer(self._vocabulary, n_embedded, self._engine)

    def encode(
        self,
        text: str,
        *,
        special: bool = False,
        bos: bool | None = False,
        eos: bool | None = False,
        start: bool = True,
        errors: Literal["strict", "drop"] = "strict",
    ) -> list[int]:
        """Return the ids of `text`; control tokens written in it are encoded only with `special`.

        `bos` and `eos`: whether to add these tokens around it; None: as the file requires (no
        second begin-of-text token before one that is in the text). `start`: the text begins here or
        follows a control token, and does not continue another text. `errors`: "drop" leaves out
        characters that the vocabulary has neither tokens nor an unknown token for. Sentencepiece
        vocabularies with a space prefix get one space before the text and before the text after
        each control token, none after a user-defined token. Raises TokenizerError for lone
        surrogates, for a bos or eos that the model does not have, for tokens that the model has no
        embedding of, and for characters that the vocabulary cannot express.
        """
        checks.text("text", text)
        checks.flag("special", special)
        parts = ((text, special),)
        return self.encode_parts(parts, bos=bos, eos=eos, start=start, errors=errors)

    def encode_parts(
        self,
        parts: Iterable[tuple[str, bool]],
        *,
        bos: bool | None = False,
        eos: bool | None = False,
        start: bool = True,
        errors: Literal["strict", "drop"] = "strict",
    ) -> list[int]:
        """Return the ids of one text given in parts: (text, special) pairs.

        Control tokens are encoded only in special parts, and each must be inside one part; the text
        between is merged across parts. So a template's control tokens are encoded, and those in a
        user's text are not. The options are those of `encode`.
        """
        checks.one_of("errors", errors, ("strict", "drop"))
        checks.flags(start=start, bos=bos or False, eos=eos or False)
        given = tuple(parts)
        for i, (text, special) in enumerate(given):
            checks.text(f"parts: text {i}", text)
            checks.flag(f"parts: special {i}", special)
        whole = "".join([text for text, _ in given])
        try:
            whole.encode()  # tokenizers would say the same, but of a part of the text
        except UnicodeEncodeError as error:
            raise TokenizerError(
                f"the text holds a lone surrogate (U+{ord(whole[error.start]):04X} at character "
                f"{error.start}), which is no character; decode it with errors='replace' first"
            ) from None
        ids = self._encode(given, start, errors == "drop")
        if bos or (bos is None and self.add_bos and ids[:1] != [self.bos]):
            ids.insert(0, self._present(self.bos, "begin-of-text"))
        if self.add_eos if eos is None else eos:
            ids.append(self._present(self.eos, "end-of-text"))
        if self.n_embedded < self.n_vocab and ids and (last := max(ids)) >= self.n_embedded:
            raise TokenizerError(
                f"the text has token {last}, {self.token(last)!r}, which this model has no "
                f"embedding of (the last is that of {self.n_embedded - 1}); take it out of the text"
            )
        return ids

    def _encode(self, parts: Sequence[tuple[str, bool]], start: bool, drop: bool) -> list[int]:
        prefix = self._vocabulary.space_prefix and start
        kinds = self._vocabulary.kinds
        ids: list[int] = []
        for token, text in self._cut(parts):
            if token is not None:
                ids.append(token)
                prefix = self._vocabulary.space_prefix and kinds[token] == Kind.CONTROL
            elif text:
                ids += self._engine.encode(" " + text if prefix else text, drop)
                prefix = False
        return ids

    def _cut(self, parts: Sequence[tuple[str, bool]]) -> Iterator[tuple[int | None, str]]:
        """The text of all parts in order, cut at tokens that are matched as they stand."""
        if len(parts) == 1:
            text, special = parts[0]
            splitter = self._special_splitter() if special else self._always
            yield from splitter.split(text) if splitter else ((None, text),)
            return
        held = ""  # text without control tokens, in which user-defined ones are still to be found
        kinds = self._vocabulary.kinds
        for text, special in parts:
            found = self._special_splitter().split(text) if special else ((None, text),)
            for token, piece in found:
                if token is None or kinds[token] == Kind.USER_DEFINED:
                    held += piece
                    continue
                yield from self._cut(((held, False),))
                yield token, piece
                held = ""
        yield from self._cut(((held, False),))

    def split(self, text: str) -> list[int | str]:
        """Split `text` at the control tokens in it; return their ids, and the texts between."""
        parts: list[int | str] = []
        held = ""
        for token, piece in self._special_splitter().split(text):
            if token is None or self.kind(token) == Kind.USER_DEFINED:
                held += piece
            else:
                parts += [held, token] if held else [token]
                held = ""
        return [*parts, held] if held else parts

    def encode_split(self, parts: Iterable[int | str], *, start: bool = True) -> list[int]:
        """Return the ids of a result of `split`; texts are encoded without control tokens.

        `start`: the text begins here, as in `encode`.
        """
        ids: list[int] = []
        for part in parts:
            if isinstance(part, int):
                ids.append(part)
                start = self.is_control(part)
            else:
                ids += self.encode(part, start=start)
                start = False
        return ids

    def stable(self, text: str, *, special: bool = False) -> int:
        """Return the length in characters of the prefix of `text` whose ids are final.

        The ids of that prefix are the first ids of every longer text, so that they can be computed
        while the rest is being typed. It ends before a word, and may be empty.
        """
        checks.text("text", text)
        special = checks.flag("special", special)
        if special not in self._stable:
            self._stable[special] = StableText(self._vocabulary, special)
        return self._stable[special](text)

    def texts(self, *kinds: Kind) -> list[str]:
        """Return all tokens of these kinds as the vocabulary writes them."""
        return [
            self._vocabulary.tokens[i] for kind in kinds for i in self._vocabulary.of_kind(kind)
        ]

    def decode(self, ids: Iterable[SupportsIndex], *, special: bool = False) -> str:
        """Return the text of `ids`; control and unknown tokens are written only with `special`.

        Bytes that are not UTF-8 become U+FFFD. Raises TokenizerError for an id out of range.
        """
        if isinstance(ids, str | bytes | bytearray) or not isinstance(ids, Iterable):
            raise checks.wrong_type("ids", "token ids", ids)
        decoder = self.decoder(special=special)
        return "".join([decoder(token) for token in ids]) + decoder.flush()

    def decoder(self, *, special: bool = False, start: bool = True) -> Decoder:
        """Return a decoder of one id at a time; `start`: its first id begins a text."""
        special, start = checks.flag("special", special), checks.flag("start", start)
        return Decoder(self, self._known[special], special, start)

    def piece(self, token: SupportsIndex) -> bytes:
        """Return the bytes that a token adds to a text; for a control token, those of its name."""
        try:
            return self._pieces[token]  # type: ignore[index]
        except KeyError:
            place = self._checked(token)
        raw = self._pieces[place] = self._bytes(place)
        return raw

    def token(self, token: SupportsIndex) -> str:
        """Return a token as the vocabulary writes it."""
        return self._vocabulary.tokens[self._checked(token)]

    def id(self, token: str) -> int | None:
        """Return the id of a token as the vocabulary writes it; of equal ones the first."""
        checks.text("token", token)
        if self._ids is None:
            tokens = self._vocabulary.tokens
            self._ids = dict(zip(reversed(tokens), range(len(tokens) - 1, -1, -1), strict=True))
        return self._ids.get(token)

    def kind(self, token: SupportsIndex) -> Kind:
        """Return the kind of a token."""
        return Kind(self._vocabulary.kinds[self._checked(token)])

    def is_control(self, token: SupportsIndex) -> bool:
        """Return whether a token is a control token, which users never write."""
        return self.kind(token) == Kind.CONTROL

    def _checked(self, token: SupportsIndex) -> int:
        place = operator.index(token)
        if not 0 <= place < self.n_vocab:
            raise TokenizerError(f"token {place} is none of 0 to {self.n_vocab - 1}")
        return place

    def _present(self, token: int | None, name: str) -> int:
        if token is None:
            raise TokenizerError(f"this model has no {name} token; its file names none")
        return token

    def _splitter(self, *kinds: Kind) -> Splitter:
        vocabulary = self._vocabulary
        ids = sorted(i for kind in kinds for i in vocabulary.of_kind(kind))
        return Splitter([(vocabulary.tokens[i], i) for i in ids], vocabulary.matching)

    def _special_splitter(self) -> Splitter:
        if self._special is None:
            self._special = self._splitter(Kind.CONTROL, Kind.UNKNOWN, Kind.USER_DEFINED)
        return self._special

    def _bytes(self, place: int) -> bytes:
        token = self._vocabulary.tokens[place]
        kind = self._vocabulary.kinds[place]
        if kind == Kind.BYTE and token in BYTE_TOKENS:
            return bytes([BYTE_TOKENS[token]])
        as_it_is = kind in (Kind.CONTROL, Kind.UNKNOWN, Kind.USER_DEFINED)
        if as_it_is or self._vocabulary.model == "custom":
            return token.encode("utf-8", "surrogateescape")
        if self._vocabulary.model == "gpt2":
            return from_characters(token)
        if self._vocabulary.model == "rwkv":
            return unescaped(token)
        return token.replace(SPACE, " ").encode("utf-8", "surrogateescape")


class Decoder:
    """A streaming decoder of ids to text: each call returns the text that is now final.

    Bytes of an incomplete character are held until the next id; `flush` returns U+FFFD for one that
    stays incomplete. All returned texts together equal `Tokenizer.decode` of all ids.
    """

    __slots__ = ("_held", "_known", "_prefix", "_special", "_strip", "_tokenizer")

    def __init__(
        self, tokenizer: Tokenizer, known: dict[int, str | bytes], special: bool, start: bool
    ) -> None:
        self._tokenizer = tokenizer
        self._known = known
        self._special = special
        self._prefix = tokenizer._vocabulary.space_prefix
        self._strip = self._prefix and start  # whether a space prefix would come now
        self._held = b""

    def __call__(self, token: SupportsIndex) -> str:
        """The text that is certain after this token; TokenizerError for an id out of range."""
        text = self._known.get(token)  # type: ignore[call-overload]
        if text is None or self._strip:
            return self._careful(token)
        if text.__class__ is str and not self._held:
            return text
        return self._joined(text.encode() if text.__class__ is str else text)

    def _joined(self, raw: bytes) -> str:
        data = self._held + raw
        text, used = codecs.utf_8_decode(data, "replace", False)
        self._held = data[used:]
        return text

    def _careful(self, token: SupportsIndex) -> str:
        """A token that is new, or stands where a space prefix may be."""
        tokenizer = self._tokenizer
        raw = tokenizer.piece(token)
        place = operator.index(token)
        kind = tokenizer.kind(place)
        if not self._special and kind in (Kind.CONTROL, Kind.UNKNOWN):
            raw = b""
        if self._prefix and kind == Kind.CONTROL:
            self._strip = True  # never in `known`, so that each of them comes by here
            return self._joined(raw)
        try:
            self._known[place] = raw.decode()
        except UnicodeDecodeError:
            self._known[place] = raw
        if self._strip and kind != Kind.USER_DEFINED and raw[:1] == b" ":
            raw = raw[1:]
        self._strip = False
        return self._joined(raw)

    def flush(self) -> str:
        """Return the remaining text: U+FFFD for an incomplete character, else nothing."""
        text = self._held.decode(errors="replace")
        self._held = b""
        return text
