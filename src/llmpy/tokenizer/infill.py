"""The tokens of models that fill a gap in a text: what comes before prefix, suffix and middle."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llmpy.tokenizer.ends import places_of

__all__ = ["infill_ids"]

# Keys of the metadata, newer and older, and well-known names, as llama.cpp knows them.
PARTS = (
    (
        ("fim_pre_token_id", "prefix_token_id"),
        ("<|fim_prefix|>", "<fim-prefix>", "<fim_prefix>", "<\uff5cfim\u2581begin\uff5c>"),
        ("<PRE>", "\u2581<PRE>", "<|code_prefix|>"),
    ),
    (
        ("fim_suf_token_id", "suffix_token_id"),
        ("<|fim_suffix|>", "<fim-suffix>", "<fim_suffix>", "<\uff5cfim\u2581hole\uff5c>"),
        ("<SUF>", "\u2581<SUF>", "<|code_suffix|>"),
    ),
    (
        ("fim_mid_token_id", "middle_token_id"),
        ("<|fim_middle|>", "<fim-middle>", "<fim_middle>", "<\uff5cfim\u2581end\uff5c>"),
        ("<MID>", "\u2581<MID>", "<|code_middle|>"),
    ),
)


def infill_ids(
    tokens: Sequence[str], read_id: Callable[[str], int | None]
) -> tuple[int, int, int] | None:
    """Return the tokens before prefix, suffix and middle, or None unless there are all three."""
    names = {name for _, new, old in PARTS for name in (*new, *old)}
    known = places_of(tokens, names)
    found = []
    for keys, new, old in PARTS:
        stated = [i for key in keys if (i := read_id(key)) is not None]
        named = [known[name][0] for name in (*new, *old) if name in known]
        found += (stated or named)[:1]
    return (found[0], found[1], found[2]) if len(found) == len(PARTS) else None
