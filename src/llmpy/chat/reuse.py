"""Finding the tokens of a session that a rendered conversation begins with, to read only new ones.

A model need not write its text in the tokens that the tokenizer would choose. So texts between
control tokens are compared as texts, and the session's own tokens stay where they are equal.
"""

from __future__ import annotations

from collections.abc import Sequence

from llmpy.tokenizer import SILENT, Tokenizer

__all__ = ["reusable"]


def reusable(
    tokens: Sequence[int], parts: Sequence[int | str], tokenizer: Tokenizer
) -> tuple[int, list[int]]:
    """Return how many of `tokens` the conversation begins with, and the ids that come after these.

    `parts` are its control tokens and the texts between them, as `Tokenizer.split` gives them.
    """
    at = 0
    for i, part in enumerate(parts):
        if isinstance(part, int):
            if at == len(tokens) or tokens[at] != part:
                after_text = i > 0 and isinstance(parts[i - 1], str)
                return at, tokenizer.encode_split(parts[i:], start=not after_text)
            at += 1
            continue
        end = at
        while end < len(tokens) and tokenizer.kind(tokens[end]) not in SILENT:
            end += 1
        if tokenizer.decode(tokens[at:end]) != part:
            before = parts[i - 1] if i else None
            start = not isinstance(before, int) or tokenizer.is_control(before)
            ids, n = tokenizer.encode_split(parts[i:], start=start), 0
            while at + n < end and n < len(ids) and tokens[at + n] == ids[n]:
                n += 1
            return at + n, ids[n:]
        at = end
    return at, []
