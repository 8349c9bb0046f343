"""Where real vocabularies lie, and metadata of small ones made by hand."""

from __future__ import annotations

from typing import Any

from llmpy.tokenizer.alphabet import CHARACTERS

NAMES = {
    "deepseek-llm": "vocab/ggml-vocab-deepseek-llm.gguf",
    "falcon": "vocab/ggml-vocab-falcon.gguf",
    "gpt-2": "vocab/ggml-vocab-gpt-2.gguf",
    "llama-bpe": "vocab/ggml-vocab-llama-bpe.gguf",
    "llama-spm": "vocab/ggml-vocab-llama-spm.gguf",
    "mpt": "vocab/ggml-vocab-mpt.gguf",
    "phi-3": "vocab/ggml-vocab-phi-3.gguf",
    "qwen2": "vocab/ggml-vocab-qwen2.gguf",
    "refact": "vocab/ggml-vocab-refact.gguf",
    "starcoder": "vocab/ggml-vocab-starcoder.gguf",
    "stories260K": "weights/stories260K/stories260K.gguf",
}

NORMAL, UNKNOWN, CONTROL, USER, UNUSED, BYTE = 1, 2, 3, 4, 5, 6


def keys(**values: Any) -> dict[str, Any]:
    """Metadata with the prefix that all keys have; None removes a key."""
    return {f"tokenizer.ggml.{key}": value for key, value in values.items() if value is not None}


def sentencepiece(*pieces: str, extra: tuple[tuple[str, int], ...] = (), **values: Any) -> Any:
    """<unk> <s> </s>, 256 bytes, then pieces of falling score, then (text, type) pairs."""
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *pieces]
    types = [UNKNOWN, CONTROL, CONTROL, *[BYTE] * 256, *[NORMAL] * len(pieces)]
    tokens += [text for text, _ in extra]
    types += [kind for _, kind in extra]
    scores = [0.0] * 259 + [-float(i) for i in range(len(tokens) - 259)]
    base = {"model": "llama", "tokens": tokens, "token_type": types, "scores": scores}
    return keys(**base | {"bos_token_id": 1, "eos_token_id": 2, "unknown_token_id": 0} | values)


def byte_level(*merges: str, extra: tuple[tuple[str, int], ...] = (), **values: Any) -> Any:
    """All bytes, what the merges make, then (text, type) pairs."""
    tokens = [*CHARACTERS, *(merge.replace(" ", "") for merge in merges)]
    types = [NORMAL] * len(tokens) + [kind for _, kind in extra]
    tokens += [text for text, _ in extra]
    base = {"model": "gpt2", "pre": "gpt-2", "tokens": tokens, "token_type": types}
    return keys(**base | {"merges": list(merges)} | values)
