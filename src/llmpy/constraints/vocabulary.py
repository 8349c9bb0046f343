"""A model's tokens for llguidance: their bytes, which of them end a text, how text is encoded."""

from __future__ import annotations

import threading
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, ref

from llmpy.errors import TokenizerError
from llmpy.tokenizer import Kind

if TYPE_CHECKING:
    from llmpy.tokenizer import Tokenizer

__all__ = ["byte_vocabulary", "token_vocabulary"]

_MADE: WeakKeyDictionary[Tokenizer, Any] = WeakKeyDictionary()
_LOCK = threading.Lock()
HIDDEN = (Kind.CONTROL, Kind.UNKNOWN)  # which are no part of a text


def token_vocabulary(tokenizer: Tokenizer) -> Any:
    """Return the `LLTokenizer` of a tokenizer; it is made once, in about 5 us a token."""
    from llguidance import LLTokenizer

    with _LOCK:
        if (made := _MADE.get(tokenizer)) is None:
            tokens = _Tokens(tokenizer)
            ends = sorted(tokenizer.end_ids) or [tokens.eos_token_id]
            made = LLTokenizer(tokens, n_vocab=tokenizer.n_embedded, eos_token=ends)  # type: ignore[arg-type]
            tokens.made = _MADE[tokenizer] = made
    return made


class _Tokens:
    """The interface of a tokenizer that llguidance expects; the names are its own."""

    is_tokenizer_wrapper = True

    def __init__(self, tokenizer: Tokenizer) -> None:
        ids = range(tokenizer.n_embedded)
        hidden = [i for i in ids if tokenizer.kind(i) in HIDDEN]
        self.tokens = [tokenizer.piece(i) for i in ids]
        self.special_token_ids = hidden
        self.bos_token_id = tokenizer.bos
        ends = sorted(tokenizer.end_ids)
        if not ends and not hidden:
            raise TokenizerError("the vocabulary has no token that ends a text")
        self.eos_token_id = ends[0] if ends else hidden[0]
        self.made: Any = None
        self._tokenizer = ref(tokenizer)  # which a value of `_MADE` must not keep alive

    def __call__(self, text: str) -> list[int]:
        """Return the ids of a text that goes on."""
        tokenizer = self._tokenizer()
        try:
            ids = [] if tokenizer is None else tokenizer.encode(text, start=False)
        except TokenizerError:  # characters that the vocabulary cannot express whole
            ids = []
        if b"".join([self.tokens[i] for i in ids]) == text.encode():
            return ids
        greedy: list[int] = [] if self.made is None else self.made.greedy_tokenize(text)
        return greedy


@lru_cache(maxsize=1)
def byte_vocabulary() -> Any:
    """Return the `LLTokenizer` of a vocabulary of single bytes, for checks without a model."""
    from llguidance import LLTokenizer

    class Bytes:
        is_tokenizer_wrapper = True
        eos_token_id = 256
        bos_token_id = None
        special_token_ids = (256,)
        tokens = (*(bytes([i]) for i in range(256)), b"<end>")

        def __call__(self, text: str) -> list[int]:
            return list(text.encode())

    return LLTokenizer(Bytes())  # type: ignore[arg-type]
