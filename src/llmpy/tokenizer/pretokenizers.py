"""The cutting of text into words by byte-level vocabularies: `tokenizer.ggml.pre`.

A family is a sequence of regular expressions in Oniguruma's syntax; each cuts what the one before
left, and both matches and the text between them are words. They are the published expressions of
the models' own tokenizers; Unicode normalisation is left out, as text must survive unchanged.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["FAMILIES", "Family"]


@dataclass(frozen=True, slots=True)
class Family:
    """One way of cutting: its `patterns`; whether a word that is a token skips the merges
    (`whole_words`); whether texts begin with the begin-of-text token unless the file says (`bos`);
    whether a word may go on behind a single space (`crosses_spaces`).
    """

    patterns: tuple[str, ...]
    whole_words: bool = False
    bos: bool = False
    crosses_spaces: bool = False


# Building blocks. SHORT: English contractions in any case. SPACES: the ends of most expressions.
_SHORT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_SPACES = r"\s*[\r\n]+|\s+(?!\S)|\s+"
_WORD = r"[^\r\n\p{L}\p{N}]?\p{L}+"
_SIGNS = r" ?[^\s\p{L}\p{N}]+[\r\n]*"
_UPPER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
_LOWER = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_ASCII_SIGNS = r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~]"


def _class(ranges: str) -> str:
    """A run of characters from ranges of code points in hexadecimal, as a pattern."""
    points = re.sub("[0-9a-f]+", lambda point: rf"\x{{{point[0]}}}", ranges)
    return f"[{points.replace(' ', '')}]+"


def _cased(tail: str, upper: str = _UPPER, lower: str = _LOWER) -> str:
    """Words that break where small letters turn to capitals; `tail` may end each."""
    head = r"[^\r\n\p{L}\p{N}]?"
    return f"{head}{upper}*{lower}+{tail}|{head}{upper}+{lower}*{tail}"


_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)"
_LLAMA3 = rf"{_SHORT}|{_WORD}|\p{{N}}{{1,3}}|{_SIGNS}|{_SPACES}"
_QWEN2 = rf"{_SHORT}|{_WORD}|\p{{N}}|{_SIGNS}|{_SPACES}"
_GPT4O_SIGNS = rf" ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{_SPACES}"
_GPT4O = rf"{_cased(_SHORT + '?')}|\p{{N}}{{1,3}}|{_GPT4O_SIGNS}"
_TEKKEN = rf"{_cased('')}|\p{{N}}|{_GPT4O_SIGNS}"
_DEEPSEEK3_WORD = rf"{_ASCII_SIGNS}[A-Za-z]+|[^\r\n\p{{L}}\p{{P}}\p{{S}}]?[\p{{L}}\p{{M}}]+"
_DEEPSEEK3 = rf"{_DEEPSEEK3_WORD}| ?[\p{{P}}\p{{S}}]+[\r\n]*|{_SPACES}"
_BLOOM = r" ?[^(\s|.,!?\x{2026}\x{3002}\x{ff0c}\x{3001}\x{964}\x{6d4}\x{60c})]+"
_CJK_GAPS = _class("4e00-9fa5 800-4e00 ac00-d7ff")
_HAN_KANA = _class("4e00-9fa5 3040-309f 30a0-30ff")
_WIDE_SIGNS = _class("21-2f 3a-7e ff01-ff0f ff1a-ff5e 2018-201f 3000-3002")
_LATIN_RANGES = (
    "41-5a 61-7a b5 c0-d6 d8-f6 f8-1ba 1bc-1bf 1c4-293 295-2af 370-373 376 377 37b-37d 37f "
    "386 388-38a 38c 38e-3a1 3a3-3f5 3f7-481 48a-52f 531-556 10a0-10c5 13a0-13f5 13f8-13fd "
    "1c90-1cba 1cbd-1cbf 1d00-1d2b 1d6b-1d77 1d79-1d9a 1e00-1f15 1f18-1f1d 1f20-1f45 "
    "1f48-1f4d 1f50-1f57 1f59 1f5b 1f5d 1f5f-1f7d 1f80-1fb4 1fb6-1fbc 1fbe 1fc2-1fc4 "
    "1fc6-1fcc 1fd0-1fd3 1fd6-1fdb 1fe0-1fec 1ff2-1ff4 1ff6-1ffc 2102 2107 210a-2113 2115 "
    "2119-211d 2124 2126 2128 212a-212d 212f-2134 2139 213c-213f 2145-2149 214e 2183 2184 "
    "2c00-2c7b 2c7e-2ce4 2ceb-2cee 2cf2 2cf3 a640-a66d a680-a69b a722-a76f a771-a787 "
    "a78b-a78e ab70-abbf fb00-fb06 fb13-fb17 ff21-ff3a ff41-ff5a 10400-1044f 104b0-104d3 "
    "104d8-104fb 10c80-10cb2 10cc0-10cf2 118a0-118df 1e900-1e943"
)
_LATIN = _class(_LATIN_RANGES)
_K2 = _cased(
    _SHORT + "?",
    r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]",
    r"[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]",
)
_JAIS2_SPACES = "|".join(rf"\s{{{2**n}}}" for n in range(9, 1, -1)) + r"|\s{1,2}"

_gpt2 = Family((_GPT2,))
_llama3 = Family((_LLAMA3,), whole_words=True, bos=True)
_dbrx = Family((_LLAMA3,))
_qwen2 = Family((_QWEN2,))
_digits = Family((r"\p{N}", _GPT2))
_gpt4o = Family((_GPT4O,))
_bloom = Family((_BLOOM,))
_deepseek3 = Family((r"\p{N}{1,3}", _HAN_KANA, _DEEPSEEK3))
# Digits in threes from the right, published as \d{1,3}(?=(?:\d{3})*\b), which looks for the end of
# a number behind each three of them. Here the number is cut out, then what is before the threes.
_thousands = Family((r"(?<!\d)\d++\b", r"\A\d{1,2}(?=(?:\d{3})++\z)", _GPT4O))
_bailing = Family(
    (
        r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}"
        r"| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+",
    )
)

FAMILIES: dict[str, Family] = {
    "default": Family((r"[\p{P}\$\+<=>\^~\|]+", _GPT2, r"\p{N}+", "[0-9][0-9][0-9]")),
    **dict.fromkeys(("gpt-2", "phi-2", "mpt", "olmo", "jais", "trillion", "gigachat"), _gpt2),
    **dict.fromkeys(("granite-docling", "a.x-4.0", "mellum", "modern-bert", "exaone4"), _gpt2),
    **dict.fromkeys(("jina-es", "jina-de", "jina-v2-es", "jina-v2-de"), _gpt2),
    **dict.fromkeys(("jina-v1-en", "jina-v2-code", "roberta-bpe"), _gpt2),
    **dict.fromkeys(("llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1"), _llama3),
    **dict.fromkeys(("pixtral", "midm-2.0", "lfm2", "jina-v5-nano"), _llama3),
    **dict.fromkeys(("dbrx", "smaug-bpe", "glm4", "chatglm-bpe"), _dbrx),
    **dict.fromkeys(("qwen2", "deepseek-r1-qwen", "kormo", "f2llmv2", "megrez"), _qwen2),
    **dict.fromkeys(("stablelm2", "hunyuan", "solar-open", "grok-2"), _qwen2),
    **dict.fromkeys(("starcoder", "refact", "command-r", "smollm", "codeshell"), _digits),
    **dict.fromkeys(("exaone", "minerva-7b", "mellum2"), _digits),
    **dict.fromkeys(("gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2"), _gpt4o),
    **dict.fromkeys(("bloom", "gpt3-finnish", "poro-chat"), _bloom),
    **dict.fromkeys(("deepseek-v3", "hunyuan-dense", "joyai-llm", "hy_v4"), _deepseek3),
    **dict.fromkeys(("bailingmoe", "bailingmoe2", "llada-moe"), _bailing),
    "falcon": Family((r"[\p{P}\$\+<=>\^~\|`]+", _GPT2, "[0-9][0-9][0-9]")),
    "viking": Family((_BLOOM, r"\p{N}")),
    "tekken": Family((_TEKKEN,), whole_words=True, bos=True),
    "deepseek-llm": Family(
        (r"[\r\n]", r"\s?" + _LATIN, r"\s?" + _WIDE_SIGNS, r"\s+$", _CJK_GAPS, r"\p{N}+")
    ),
    "deepseek-coder": Family((r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", _CJK_GAPS, r"\p{N}")),
    "qwen35": Family(
        (
            rf"{_SHORT}|[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}\p{{M}}]+|\p{{N}}"
            rf"| ?[^\s\p{{L}}\p{{M}}\p{{N}}]+[\r\n]*|{_SPACES}",
        )
    ),
    **dict.fromkeys(("tiny_aya", "cohere2moe"), _thousands),
    "kimi-k2": Family((rf"[\p{{Han}}]+|{_K2}|\p{{N}}{{1,3}}|{_SIGNS}|{_SPACES}",)),
    "minicpm5": Family(
        (r"\p{N}{1,3}", rf"{_SHORT}|{_WORD}|\p{{N}}+|{_SIGNS}|{_SPACES}"), whole_words=True
    ),
    "seed-coder": Family(
        (rf"{_SHORT}|{_WORD}|\p{{N}}| ?[^\s\p{{L}}\p{{N}}\r\n]+|{_SPACES}",)
    ),
    "ufakzeka": Family((rf"{_WORD}|\p{{N}}|{_SIGNS}|{_SPACES}",)),
    "laguna": Family((r"[^\n]+|[\n]+", _QWEN2)),
    "exaone-moe": Family(
        (
            rf"{_SHORT}|[^\r\n\p{{L}}\p{{N}}]?(?:\p{{L}}\p{{M}}*(?: \p{{L}}\p{{M}}*)*)+|\p{{N}}"
            rf"| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+",
        ),
        crosses_spaces=True,
    ),
    "jais-2": Family(
        (
            # Published as one expression, which looks for a line's end behind each 512 spaces.
            rf"{_SHORT}|{_WORD}|\p{{N}}{{1,3}}|{_SIGNS}|{_SPACES}",
            rf"\A[\s\S]*[\S\r\n]\z|{_JAIS2_SPACES}",  # of runs of spaces alone
        )
    ),
    "chameleon": Family(
        (
            "<sentinel:[0-9]+>",
            "(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z",
            r"([\t\n]|    |  )",
            r"\p{N}",
            r"[\p{P}!-/:-@\[-`{-~]",
            _GPT2,
        ),
        bos=True,
    ),
}  # fmt: skip
