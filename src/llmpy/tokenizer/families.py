"""Finding the family of pretokenizers.py that cuts words like a tokenizer.json.

Expressions are written in many ways that mean the same, so what they do is compared: both cut one
text that has a case of everything in which families differ.
"""

# ruff: noqa: RUF001
from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from tokenizers import Regex, Tokenizer, pre_tokenizers

from llmpy.tokenizer.pretokenizers import FAMILIES

__all__ = ["family_of", "guarded"]

# Of families that cut alike, the best known name comes first.
USUAL = (
    *("gpt-2", "llama-bpe", "qwen2", "starcoder", "gpt-4o", "tekken", "deepseek-llm", "dbrx"),
    *("deepseek-coder", "deepseek-v3", "falcon", "bloom", "qwen35", "default"),
)
PROBE = (
    "Hello, World! It's we'll THEY'RE I'M don't he'd 'S 'Ll x'tre\n"
    "1 12 123 1234 12345 3.14159 1,000,000 v2.0 A1b2C3 a_b __init__ 0x1F 10:30\n\n\n"
    "   three  two one\ttab \t mixed \r\n crlf\r\n\r\n  \n  trailing   \n"
    "camelCaseWord HTTPServer XMLHttp iPhone McDonald's ÀÉÎ über straße ǅ ǆ ʰa ªº\n"
    "!!!??? ... -- => != <= $5.00 100% #tag @me (a) [b] {c} a/b\\c ~`^|& +=<> ;:\"'\n"
    "日本語のテキスト、カタカナ。中文字符，测试！한국어 문장 การทดสอบ مرحبا بالعالم ؟ שלום हिन्दी। "
    "é̀ e\u0301a\u0308 x\u0327y Привет МИР Ελληνικά ½ ² Ⅷ ٣٤٥ १२३ "
    "😀😃👩‍👩‍👧 🇩🇪 ™ © €5 £3 ¡¿ « » “q” ‘s’ – — …\n"
    "/path/to/file.py\n//comment\n#include <a>\n\tindent\n        eight\n                sixteen"
    + " " * 33 + "x" + " " * 130 + "y\n/ a /\nb/\n<sentinel:12> 'tis 5's 9th "
    "can't\u2019ve\u2028\x85\xa0z\u3000w"
)  # fmt: skip


class guarded:  # noqa: N801
    """Turns a panic of `tokenizers` (no Exception in Python) into a ValueError."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: Any, trace: object) -> None:
        if kind is not None and kind.__name__ == "PanicException":
            raise ValueError(f"tokenizers gave up: {str(error)[:200]}") from None


def family_of(definition: Mapping[str, Any] | None, whole_words: bool) -> str | None:
    """The name of the family that cuts as the "pre_tokenizer" `definition` does; None if none does.

    `whole_words`: whether words that are tokens skip the merges; a family that agrees comes first.
    Raises ValueError for a pre-tokenizer that `tokenizers` does not understand.
    """
    cuts = _cuts_of_json(json.dumps(definition))
    names = [*USUAL, *sorted(FAMILIES.keys() - set(USUAL))]
    alike = [name for name in names if _cuts_of_family(name) == cuts]
    agreeing = [name for name in alike if FAMILIES[name].whole_words == whole_words]
    return next(iter(agreeing or alike), None)


def _cuts_of_json(definition: str) -> tuple[tuple[int, int], ...]:
    skeleton = '{"version": "1.0", "added_tokens": [], "model": {"type": "BPE", "vocab": {}, '
    try:
        with guarded():
            cutter = Tokenizer.from_str(
                f'{skeleton}"merges": []}}, "pre_tokenizer": {definition}}}'
            )
    except Exception as error:  # tokenizers has no narrower type
        raise ValueError(str(error)[:200]) from None
    return _cuts(cutter.pre_tokenizer)


@cache
def _cuts_of_family(name: str) -> tuple[tuple[int, int], ...]:
    cuts = [pre_tokenizers.Split(Regex(p), "isolated") for p in FAMILIES[name].patterns]
    return _cuts(pre_tokenizers.Sequence(cuts))


def _cuts(cutter: Any) -> tuple[tuple[int, int], ...]:
    if cutter is None:
        return ((0, len(PROBE)),)
    try:
        with guarded():
            return tuple(span for _, span in cutter.pre_tokenize_str(PROBE))
    except Exception as error:  # an expression that takes too long
        raise ValueError(str(error)[:200]) from None
