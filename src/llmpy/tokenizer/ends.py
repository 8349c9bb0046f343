"""Tokens that end a turn, and tokens that are control tokens whatever type the file gives them.

Few files name every end-of-turn token, and many give wrong types. So the well-known names count
too, as they do in llama.cpp (llama_vocab::impl::load). `<s>` and `</s>` are HTML tags in some
vocabularies (Gemma's): they count only where the file types or names one of them so.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from llmpy import ffi
from llmpy.strings import Strings
from llmpy.tokenizer.kinds import Kind

__all__ = ["END_NAMES", "end_ids", "places_of", "retype"]

HTML_TAGS = frozenset({"<s>", "</s>"})
END_NAMES = frozenset(
    {
        *("<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<|calls|>", "<|flush|>"),
        *("<|eot_id|>", "<|eom_id|>", "<|eot|>", "<|eom|>", "<EOT>", "_<EOT>", "[EOT]"),
        *("<|endoftext|>", "<|end_of_text|>", "<eos>", "[EOS]", "</s>"),
        *("<end_of_turn>", "<turn|>", "<|end_of_turn|>", "<|endofturn|>", "[|endofturn|]"),
        *("<|END_OF_TURN_TOKEN|>", "<|role_end|>", "<end_of_utterance>", "<|tool_response>"),
        *("[e~[", "<\uff5cend\u2581of\u2581sentence\uff5c>"),
        # Between files and after them, where models trained to fill gaps in code stop.
        *("<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"),
        *("<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>", "<|file_sep|>"),
    }
)
# Other marks of chat templates. Some files call them user-defined, so that users could forge them.
TEMPLATE_MARKS = frozenset(
    {
        *("<s>", "<bos>", "<|begin_of_text|>", "<|im_start|>", "<|start_header_id|>"),
        *("<|end_header_id|>", "<|python_tag|>", "<start_of_turn>", "<|system|>", "<|user|>"),
        *("<|assistant|>", "<|tool|>", "[INST]", "[/INST]"),
    }
)
# In vocabularies with these tokens the last one ends a part of the reply, which then goes on.
WITH_PARTS = (
    ({"<|return|>", "<|call|>"}, "<|end|>"),
    ({"<|calls|>", "<|flush|>"}, "<|end|>"),
    ({"<|eot|>", "<|eom|>"}, "<|eom|>"),
)


def places_of(tokens: Sequence[str], names: Collection[str]) -> dict[str, list[int]]:
    """Return the indices of those of `names` that are tokens."""
    if isinstance(tokens, Strings) and ffi.available():  # no string is made of the others
        found = {name: tokens.places(name) for name in names}
        return {name: places for name, places in found.items() if places}
    found = {}
    for i, token in enumerate(tokens):
        if token in names:
            found.setdefault(token, []).append(i)
    return found


def retype(
    kinds: bytearray, tokens: Sequence[str], named: Collection[int | None], *, typed: bool = True
) -> None:
    """Make control tokens of those that only programs write.

    `named`: ids that the file gives a role; not `typed`: the file gives no types.
    """
    found = places_of(tokens, END_NAMES | TEMPLATE_MARKS)
    tags = [i for tag in HTML_TAGS for i in found.get(tag, ())]
    if not any(i in named or kinds[i] == Kind.CONTROL for i in tags):
        found = {name: places for name, places in found.items() if name not in HTML_TAGS}
    for name, places in found.items():
        wrong = {Kind.USER_DEFINED}
        if name in END_NAMES or not typed:
            wrong |= {Kind.NORMAL, Kind.UNDEFINED, Kind.UNUSED}
        for i in places:
            if kinds[i] in wrong:
                kinds[i] = Kind.CONTROL


def end_ids(kinds: bytes, tokens: Sequence[str], named: Collection[int | None]) -> frozenset[int]:
    """Every token that ends a turn: `named`, those that the file calls so, and well-known names."""
    ends = {
        name: ids
        for name, places in places_of(tokens, END_NAMES).items()
        if (ids := [i for i in places if kinds[i] in (Kind.CONTROL, Kind.UNKNOWN)])
    }
    parts = [part for present, part in WITH_PARTS if ends.keys() >= present]
    for part in parts:
        ends.pop(part, None)
    return frozenset(i for places in (named, *ends.values()) for i in places if i is not None)
