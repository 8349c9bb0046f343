"""Another tokenizer in place of the model file's: an object of the user's own, or a file."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np

from llmpy import checks
from llmpy.errors import TokenizerError
from llmpy.tokenizer.kinds import Kind, Matching
from llmpy.tokenizer.metadata import PREFIX
from llmpy.tokenizer.tokenizer import Tokenizer
from llmpy.tokenizer.vocabulary import Vocabulary

__all__ = ["TokenizerProtocol", "adopt_tokenizer", "with_specials_of"]

_SPECIALS = ("bos", "eos", "eot", "eom", "unknown", "seperator", "padding", "mask")


@runtime_checkable
class TokenizerProtocol(Protocol):
    """The protocol of custom tokenizers for `load(tokenizer=...)`; any thread may call the methods.

    llmpy wraps it in a `Tokenizer`: control tokens, decoding and chats work as with any other.
    """

    n_vocab: int
    """Number of ids, which are in [0, n_vocab)."""
    bos: int | None
    """Begin-of-text token, which is added before each text; None for none."""
    end_ids: Collection[int]
    """End-of-text and end-of-turn tokens."""

    def encode(self, text: str, /) -> Iterable[int]:
        """Return the ids of a text, without control tokens around or inside it."""

    def piece(self, token: int, /) -> bytes:
        """Return the bytes that a token adds to a text; for a control token, those of its name."""

    def is_control(self, token: int, /) -> bool:
        """Return whether a token is a control token, such as <|im_end|>."""


class _Engine:
    """The `encode` of the user's object, its ids checked."""

    def __init__(self, given: TokenizerProtocol, n_vocab: int) -> None:
        self._given = given
        self._n_vocab = n_vocab

    def encode(self, text: str, drop: bool) -> list[int]:  # noqa: ARG002 - of all engines
        try:
            return checks.token_ids("tokenizer.encode", self._given.encode(text), self._n_vocab)
        except (TypeError, ValueError) as error:
            raise TokenizerError(f"the tokenizer that load() was given: {error}") from error


class _Adopted(Tokenizer):
    """A `Tokenizer` around an object of the user's."""

    def __init__(self, given: TokenizerProtocol, n_embedded: int | None) -> None:
        self._given = given
        n = checks.whole("tokenizer.n_vocab", given.n_vocab)
        pieces = [_piece(given, i) for i in range(n)]
        control = bytearray(Kind.CONTROL if given.is_control(i) else Kind.NORMAL for i in range(n))
        bos = given.bos
        if bos is not None:
            bos = checks.whole("tokenizer.bos", bos, 0, n - 1)
        ends = sorted(checks.token_ids("tokenizer.end_ids", given.end_ids, n))
        vocabulary = Vocabulary(
            path=None,
            model="custom",
            pre=type(given).__name__,
            tokens=[piece.decode("utf-8", "surrogateescape") for piece in pieces],
            kinds=bytes(control),
            scores=np.zeros(0),
            merges=(),
            bos=bos,
            eos=ends[0] if ends else None,
            unk=None,
            add_bos=bos is not None,
            add_eos=False,
            space_prefix=False,
            end_ids=frozenset(ends),
            matching=Matching(),
        )
        super().__init__(vocabulary, n_embedded, _Engine(given, n))


def _piece(given: TokenizerProtocol, token: int) -> bytes:
    piece: Any = given.piece(token)
    if not isinstance(piece, bytes):
        raise checks.wrong_type(f"tokenizer.piece({token})", "bytes", piece)
    return piece


def adopt_tokenizer(given: Tokenizer | TokenizerProtocol, n_embedded: int) -> Tokenizer:
    """Return a `Tokenizer` for a model with `n_embedded` embeddings that works as `given` does.

    A `Tokenizer` stays what it is. Raises TypeError for an object that is no tokenizer, ValueError
    where its `n_vocab`, `bos` or `end_ids` contradict each other.
    """
    if isinstance(given, Tokenizer):
        return given.limited(n_embedded)
    if isinstance(given, type) or not isinstance(given, TokenizerProtocol):
        expected = "a path, or an object with the attributes of llmpy.TokenizerProtocol"
        raise checks.wrong_type("tokenizer", expected, given)
    return _Adopted(given, n_embedded)


def with_specials_of(found: Mapping[str, Any], model: Mapping[str, Any]) -> dict[str, Any]:
    """Return `found`, the metadata of a tokenizer file, with the special tokens that it leaves out.

    A tokenizer.json alone does not say which token ends a text: that is the one which the metadata
    of the model's own file names, where both vocabularies have a token of that name.
    """
    tokens, others = (m.get(f"{PREFIX}tokens") for m in (found, model))
    result = dict(found)
    if not tokens or not others:
        return result
    places = {token: i for i, token in reversed(list(enumerate(tokens)))}
    for name in _SPECIALS:
        key = f"{PREFIX}{name}_token_id"
        i = model.get(key)
        known = isinstance(i, int) and 0 <= i < len(others) and others[i] in places
        if known and key not in result:
            result[key] = places[others[i]]
    return result
