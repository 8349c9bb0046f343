"""A text with a gap, as models read it that were trained to fill it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from llmpy import checks
from llmpy.errors import UnsupportedModelError

if TYPE_CHECKING:
    from llmpy.tokenizer import Tokenizer

__all__ = ["infill_ids"]


def infill_ids(
    tokenizer: Tokenizer, path: Path, prefix: str, suffix: str, *, begins: bool
) -> list[int]:
    """Return the ids of a text with a gap; `begins`: of a whole text, with its first token.

    As CodeLlama's authors write it: no space is put before the suffix, which goes on.
    """
    checks.text("prefix", prefix)
    checks.text("suffix", suffix)
    found = getattr(tokenizer, "infill_ids", None)
    if found is None:
        raise UnsupportedModelError(
            path, "tokenizer.ggml.fim_pre_token_id, fim_suf_token_id, fim_mid_token_id",
            "the tokens around a gap", "none of them",
            hint="infill() is for models that were trained to fill in the middle, such as those "
            "for code; stream() goes on with a text",
        )  # fmt: skip
    before, between, behind = found
    first = tokenizer.encode("", bos=None) if begins else []
    return [
        *first,
        before,
        *tokenizer.encode(prefix),
        between,
        *tokenizer.encode(suffix, start=False),
        behind,
    ]
