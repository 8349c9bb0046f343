"""A tiny model of the shape that the parser takes, with random weights: what it says is chance."""

from __future__ import annotations

import string
from pathlib import Path

import numpy as np

from llmpy.dtypes import BY_NAME
from llmpy.format import write_gguf

WIDTH = 32


def write_random(path: Path) -> None:
    """Write a Llama of one layer, with the tokens that answers are made of and all bytes."""
    texts = [
        *string.digits,
        *"-X/[],.~?%;#",
        *string.ascii_lowercase,
        "\u2581",
        "or",
        "bor",
        "late",
    ]
    tokens = ["<unk>", "<s>", "</s>", "<sep>", *(f"<0x{i:02X}>" for i in range(256)), *texts]
    rng = np.random.default_rng(0)
    shapes = {
        "token_embd": (len(tokens), WIDTH), "output_norm": (WIDTH,), "output": (len(tokens), WIDTH),
        **{f"blk.0.{name}": (WIDTH, WIDTH) for name in ("attn_q", "attn_k", "attn_v")},
        **{f"blk.0.{name}": (WIDTH, WIDTH) for name in ("attn_output", "ffn_gate", "ffn_up")},
        "blk.0.ffn_down": (WIDTH, WIDTH), "blk.0.attn_norm": (WIDTH,), "blk.0.ffn_norm": (WIDTH,),
    }  # fmt: skip
    tensors = [
        (f"{name}.weight", BY_NAME["F32"], shape, rng.standard_normal(shape, np.float32).tobytes())
        for name, shape in shapes.items()
    ]
    metadata = {
        "general.architecture": "llama",
        "llama.context_length": 512,
        "llama.embedding_length": WIDTH,
        "llama.feed_forward_length": WIDTH,
        "llama.attention.head_count": 2,
        "llama.block_count": 1,
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.scores": [float(-i) for i in range(len(tokens))],
        "tokenizer.ggml.token_type": [2, 3, 3, 3, *[6] * 256, *[1] * len(texts)],
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0,
        "tokenizer.ggml.add_space_prefix": False,
    }
    write_gguf(path, metadata, tensors)
