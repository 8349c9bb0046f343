"""The engines of encoders' vocabularies: word pieces (BERT) and unigrams (T5, XLM-R), in Rust.

As in engine.py, control tokens are not in the models, so that no text can become one.
"""

from __future__ import annotations

import re

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from llmpy.errors import ModelFileError
from llmpy.tokenizer.charsmap import CharsMap
from llmpy.tokenizer.families import guarded
from llmpy.tokenizer.kinds import BYTE_TOKENS, Kind
from llmpy.tokenizer.merger import SPACE, check_room
from llmpy.tokenizer.vocabulary import Vocabulary, cannot_express, is_text

__all__ = ["Unigram", "WordPieces"]

LONGEST_WORD = 100  # characters; a longer word is unknown (Devlin et al. 2019)
WORST = 1e30  # bounds scores, which Rust adds up


class WordPieces:
    """Text -> ids: words and signs, cut greedily into the longest pieces.

    Pieces that begin a word have SPACE in front in the file, others nothing.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        check_room(len(vocabulary.tokens), 0)
        pieces: dict[str, int] = {}
        tokens = list(vocabulary.tokens)
        for i in reversed(vocabulary.of_kind(Kind.NORMAL)):
            token = tokens[i]
            if is_text(token) and token not in ("", SPACE):
                pieces[token[1:] if token[0] == SPACE else "##" + token] = i
        unknown = "[UNK]"  # no word: its signs are words of their own
        self._unk = vocabulary.unk
        self._stand_in = len(tokens)
        pieces[unknown] = self._stand_in if self._unk is None else self._unk
        with guarded():
            model = models.WordPiece(
                pieces,
                unk_token=unknown,
                max_input_chars_per_word=LONGEST_WORD,
                continuing_subword_prefix="##",
            )
        self._model = Tokenizer(model)
        self._model.normalizer = normalizers.BertNormalizer(
            lowercase=vocabulary.lowercase, strip_accents=vocabulary.strip_accents
        )
        self._model.pre_tokenizer = pre_tokenizers.BertPreTokenizer()

    def encode(self, text: str, drop: bool = False) -> list[int]:
        """Ids of a text; `drop`: leave out words without tokens."""
        encoding = self._model.encode(text, add_special_tokens=False)
        ids: list[int] = encoding.ids
        if self._unk is not None or self._stand_in not in ids:
            return ids
        if drop:
            return [i for i in ids if i != self._stand_in]
        start, end = encoding.offsets[ids.index(self._stand_in)]
        raise cannot_express(repr(text[start:end]))


class Unigram:
    """Text -> ids: of all ways to cut a text into pieces, the most probable one (Kudo 2018)."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        check_room(len(vocabulary.tokens), 0)
        self._space_prefix = vocabulary.space_prefix
        self._one_space = vocabulary.one_space
        self._unk = vocabulary.unk
        self._bytes = _byte_ids(vocabulary)
        normal = set(vocabulary.of_kind(Kind.NORMAL)) | set(vocabulary.of_kind(Kind.UNDEFINED))
        scores = vocabulary.scores.clip(-WORST, WORST).tolist()
        # A text has no spaces when it comes here: such pieces keep their place and never match.
        pieces = [
            (token, score) if i in normal and token and is_text(token) else (f" {i}", 0.0)
            for i, (token, score) in enumerate(zip(vocabulary.tokens, scores, strict=True))
        ]
        self._stand_in = len(pieces)
        pieces.append((f" {len(pieces)}", 0.0))
        self._normalizer: CharsMap | None = None
        try:
            with guarded():
                model = models.Unigram(pieces, unk_id=self._stand_in, byte_fallback=False)
                if vocabulary.charsmap:
                    self._normalizer = CharsMap(vocabulary.charsmap)
        except Exception as error:  # tokenizers has no narrower type
            raise ModelFileError(
                vocabulary.path, "tokenizer.ggml.precompiled_charsmap", "one of sentencepiece",
                str(error)[:200],
            ) from None  # fmt: skip
        self._model = Tokenizer(model)

    def encode(self, text: str, drop: bool = False) -> list[int]:
        """Ids of a text; a caller who wants a leading space has put it there.

        `drop`: leave out characters without a piece.
        """
        prefix = self._space_prefix and text[:1] == " "
        if self._normalizer is not None:
            text = self._normalizer(text)
        if self._one_space:
            text = re.sub(" +", " ", text).strip(" ")
            text = " " + text if prefix and text else text
        if not text:
            return []
        text = text.replace(" ", SPACE)
        encoding = self._model.encode(text, add_special_tokens=False)
        ids: list[int] = []
        for token, (start, end) in zip(encoding.ids, encoding.offsets, strict=True):
            if token != self._stand_in:
                ids.append(token)
            else:
                ids += self._unknown(text[start:end].replace(SPACE, " "), drop)
        return ids

    def _unknown(self, text: str, drop: bool) -> list[int]:
        """Characters without a piece: bytes, where the vocabulary has all of them."""
        if self._bytes:
            return [self._bytes[byte] for byte in text.encode()]
        if self._unk is not None:
            return [self._unk]
        if drop:
            return []
        raise cannot_express(repr(text))


def _byte_ids(vocabulary: Vocabulary) -> dict[int, int]:
    """Ids of all 256 bytes, or nothing."""
    found = {}
    for i in vocabulary.of_kind(Kind.BYTE):
        if (byte := BYTE_TOKENS.get(vocabulary.tokens[i])) is not None:
            found[byte] = i
    return found if len(found) == 256 else {}
