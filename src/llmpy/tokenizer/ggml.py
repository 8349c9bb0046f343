"""The vocabulary of files from before GGUF -> `tokenizer.ggml.*`.

They hold the bytes of each token, perhaps scores, and nothing else. Byte-pair merges are found
again from the order of the tokens: training adds a token with each merge.
"""

from __future__ import annotations

import itertools
import re
from typing import Any

import numpy as np
import numpy.typing as npt

from llmpy.tokenizer.alphabet import to_characters
from llmpy.tokenizer.kinds import Kind

__all__ = ["ggml_vocabulary", "merges_of"]

# Architecture -> family of the pre-tokenizer, begin-of-text and end-of-text.
BYTE_PAIRS = {
    "bloom": ("bloom", b"<s>", b"</s>"),
    "falcon": ("falcon", b"<|endoftext|>", b"<|endoftext|>"),
    "gpt2": ("gpt-2", b"<|endoftext|>", b"<|endoftext|>"),
    "gptj": ("gpt-2", b"<|endoftext|>", b"<|endoftext|>"),
    "gptneox": ("gpt-2", b"<|endoftext|>", b"<|endoftext|>"),
    "mpt": ("mpt", b"<|endoftext|>", b"<|endoftext|>"),
}
SPACE = "\u2581".encode()  # sentencepiece's visible space
NEVER = -1e9  # the score of runs of spaces
BYTES = range(3, 259)  # ids of Llama's tokens that are one byte of a character
MAX_MERGED = 512  # bytes; a token that is longer can be decoded but never encoded
CONTROL = re.compile(rb"<\|.{1,64}\|>|>>[A-Z]+<<|</?s>|<pad>|<unk>", re.DOTALL)


def ggml_vocabulary(
    architecture: str, tokens: list[bytes], scores: npt.NDArray[np.float32] | None
) -> dict[str, Any]:
    """Metadata of the tokenizer of an old file; `scores` is None where it has none."""
    if architecture in BYTE_PAIRS:
        found = _byte_pairs(architecture, tokens)
    else:
        found = _sentencepiece(tokens, scores)
    return {f"tokenizer.ggml.{key}": value for key, value in found.items()}


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _sentencepiece(tokens: list[bytes], scores: npt.NDArray[np.float32] | None) -> dict[str, Any]:
    """Llama's: three special tokens, 256 bytes, then pieces with their spaces spelled out."""
    texts: list[str] = []
    kinds = np.full(len(tokens), Kind.NORMAL, np.int32)
    for i, token in enumerate(tokens):
        if i < 3:
            kinds[i] = Kind.CONTROL if i else Kind.UNKNOWN
            texts.append(("<unk>", "<s>", "</s>")[i])
        elif not token:
            kinds[i] = Kind.UNUSED
            texts.append(f"[PAD{i}]")
        elif i in BYTES and len(token) == 1:
            kinds[i] = Kind.BYTE
            texts.append(f"<0x{token[0]:02X}>")
        else:
            texts.append(_text(token.replace(b" ", SPACE)))
    if scores is None:  # what Llama's are: the order in which pieces were merged; spaces last
        scores = np.minimum(0, BYTES.stop - np.arange(len(tokens), dtype=np.float32))
        spaces = [i for i, token in enumerate(tokens) if token and not token.strip(b" ")]
        scores[spaces] = NEVER
    return {
        "model": "llama",
        "pre": "default",
        "tokens": texts,
        "scores": scores,
        "token_type": kinds,
        "unknown_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }


def _byte_pairs(architecture: str, tokens: list[bytes]) -> dict[str, Any]:
    pre, bos, eos = BYTE_PAIRS[architecture]
    added = _added_spaces(tokens)
    pairs = merges_of(tokens[: added.start])
    made = {left + right for left, right in pairs}
    texts: list[str] = []
    kinds = np.full(len(tokens), Kind.NORMAL, np.int32)
    for i, token in enumerate(tokens):
        if not token:
            kinds[i] = Kind.UNUSED
            texts.append(f"[PAD{i}]")
        elif i in added or (token not in made and CONTROL.fullmatch(token)):
            kinds[i] = Kind.USER_DEFINED if i in added else Kind.CONTROL
            texts.append(_text(token))
        else:
            texts.append(to_characters(token))
    found: dict[str, Any] = {
        "model": "gpt2",
        "pre": pre,
        "tokens": texts,
        "token_type": kinds,
        "merges": [f"{to_characters(left)} {to_characters(right)}" for left, right in pairs],
    }
    for key, token in (("bos", bos), ("eos", eos), ("unknown", b"<unk>"), ("padding", b"<pad>")):
        if token in tokens:
            found[f"{key}_token_id"] = tokens.index(token)
    return found


def _added_spaces(tokens: list[bytes]) -> range:
    """Ids of the runs of spaces, each one shorter than the one before, that GPT-NeoX's end with."""
    end = len(tokens)
    while end and not tokens[end - 1]:
        end -= 1
    start = end
    while start and tokens[start - 1] == b" " * (end - start + 2):
        start -= 1
    return range(start, end)


def merges_of(tokens: list[bytes]) -> list[tuple[bytes, bytes]]:
    """The merges that gave these tokens, in order, if each was added by one merge of earlier ones.

    A token's merge is what is left of it after all earlier merges: two tokens. Tokens that are not
    made of earlier ones, or that came twice, have none.
    """
    ranks: dict[bytes, int] = {}
    for i, token in enumerate(tokens):
        ranks.setdefault(token, i)
    found = []
    for token, rank in ranks.items():
        if len(token) > MAX_MERGED:
            continue
        cuts = [
            (token[:i], token[i:])
            for i in range(1, len(token))
            if ranks.get(token[:i], rank) < rank and ranks.get(token[i:], rank) < rank
        ]
        if len(cuts) > 1:
            cuts = _merged(token, ranks)
        found += cuts
    return found


def _merged(token: bytes, ranks: dict[bytes, int]) -> list[tuple[bytes, bytes]]:
    """The token after all merges of lower rank than its own, if it is two parts then."""
    rank = ranks[token]
    parts = [token[i : i + 1] for i in range(len(token))]
    while len(parts) > 2:
        together = [ranks.get(a + b, rank) for a, b in itertools.pairwise(parts)]
        best = min(together)
        if best == rank:
            return []
        at = together.index(best)
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    return [(parts[0], parts[1])]
