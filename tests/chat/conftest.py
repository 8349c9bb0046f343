"""Templates of real models, and a tokenizer that has the control tokens of all of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

import llmpy
from llmpy.tokenizer import Kind, Tokenizer, build_tokenizer
from llmpy.tokenizer.alphabet import CHARACTERS

LOOKS_SPECIAL = re.compile(
    r"<\|[^|<>{}'\"\s]*\|>|<\uff5c[^\uff5c<>{}'\"\s]*\uff5c>|<\|[a-z_]+>|<[a-z_]+\|>|\[/?[A-Z_]{3,}\]"
    r"|</?(?:s|think|tool_call|tool_response|start_of_turn|end_of_turn|sep|role)>|<SPECIAL_\d+>"
    r"|\[e~\[|\]~b\]|\]~!b\["
)
ALSO = ("<s>", "</s>", "<unk>", "<|im_start|>", "<|im_end|>", "<think>", "</think>", "<|end|>")


def special_tokens(sources: list[str]) -> list[str]:
    """What looks like a special token in the templates, and the ones they build of parts."""
    found = {token for source in sources for token in LOOKS_SPECIAL.findall(source)}
    found |= {f"<|{role}|>" for role in ("user", "assistant", "system", "tool")}
    return sorted(found | set(ALSO))


def byte_tokenizer(controls: list[str], user_defined: Sequence[str] = ()) -> Tokenizer:
    """A vocabulary of the 256 bytes, these control tokens, and user-defined ones."""
    tokens = [*CHARACTERS, *controls, *user_defined]
    kinds = [Kind.NORMAL] * 256 + [Kind.CONTROL] * len(controls)
    kinds += [Kind.USER_DEFINED] * len(user_defined)
    return build_tokenizer(
        {
            "tokenizer.ggml.model": "gpt2",
            "tokenizer.ggml.pre": "default",
            "tokenizer.ggml.tokens": tokens,
            "tokenizer.ggml.token_type": [int(kind) for kind in kinds],
            "tokenizer.ggml.merges": [],
            "tokenizer.ggml.bos_token_id": tokens.index("<s>"),
            "tokenizer.ggml.eos_token_id": tokens.index("</s>"),
            "tokenizer.ggml.unknown_token_id": tokens.index("<unk>"),
            "tokenizer.ggml.add_bos_token": False,
        }
    )


@pytest.fixture(scope="session")
def templates(shared_data: Callable[[str], Path]) -> dict[str, str]:
    """The sources of the templates, by name."""
    paths = sorted(shared_data("templates").glob("*.jinja"))
    assert len(paths) > 30
    return {path.stem: path.read_text(encoding="utf-8") for path in paths}


@pytest.fixture(scope="session")
def controls(templates: dict[str, str]) -> list[str]:
    """The control tokens of all templates."""
    found = special_tokens(list(templates.values()))
    assert len(found) > 100
    return found


@pytest.fixture(scope="session")
def all_tokens(controls: list[str]) -> Tokenizer:
    """A tokenizer that has them all."""
    return byte_tokenizer(controls)


@pytest.fixture
def plain_tokenizer() -> Tokenizer:
    """A tokenizer with a few of them."""
    return byte_tokenizer([*ALSO])


@pytest.fixture(scope="session")
def smol(smollm2: Path) -> llmpy.Model:
    """A real instruct model."""
    return llmpy.load(smollm2, n_ctx=2048)


@pytest.fixture(scope="session")
def fast_stories(shared_data: Callable[[str], Path]) -> llmpy.Model:
    """A small base model."""
    return llmpy.load(shared_data("weights/stories260K/stories260K.gguf"))
