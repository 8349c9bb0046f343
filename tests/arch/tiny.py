"""Tiny models with random weights, written as GGUF files: one variant for each thing that an
architecture can do.

The weights come from the raw output of a bit generator, which NumPy keeps the same for ever; names,
layouts and metadata are those that the ecosystem's converter gives to a model of that kind.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmpy.dtypes import BY_NAME, DType
from llmpy.format import write_gguf
from llmpy.quant import quantize

N_CTX = 1024
N_VOCAB = 264
GOLDEN = Path(__file__).parent / "golden" / "tiny"

Array = NDArray[np.float32]

# where the float16 factors of a block stand, and values that make its weights center on zero
K_FIELDS = {
    "Q4_K": {0: 2.5e-4, 2: 7.5 * 2.5e-4},
    "Q5_K": {0: 1.25e-4, 2: 15.5 * 1.25e-4},
    "Q6_K": {208: 4.5e-5},
}


@dataclass(frozen=True)
class Variant:
    """One tiny model. `rope` are the parameters of rotary scaling in the words of transformers."""

    name: str
    seed: int
    n_layer: int = 2
    n_embd: int = 64
    n_head: int = 4
    n_kv: int = 2
    d_head: int = 16
    n_ff: int = 96
    tied: bool = True
    attention_bias: bool = False
    mlp_bias: bool = False
    window: int = 0
    n_expert: int = 0
    n_used: int = 0
    rope_base: float = 10_000.0
    rope: Mapping[str, Any] = field(default_factory=dict)


_LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
_YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 256}

VARIANTS = {
    v.name: v
    for v in [
        Variant("llama", 1, n_layer=3),
        Variant("llama-untied", 2, tied=False, n_kv=4),
        Variant("llama-biases", 3, attention_bias=True, mlp_bias=True),
        Variant("llama3-rope", 4, rope_base=500_000.0, rope=_LLAMA3),
        Variant("llama-linear", 5, rope={"rope_type": "linear", "factor": 4.0}),
        Variant("llama-yarn", 6, rope=_YARN),
        Variant(
            "llama-yarn-tuned",
            7,
            rope={**_YARN, "beta_fast": 8.0, "beta_slow": 0.25, "attention_factor": 1.4},
        ),
        Variant("mistral", 8, window=8, d_head=32, tied=False, n_kv=1),
        Variant("mixtral", 9, n_expert=4, n_used=2, tied=False, rope_base=1e6),
    ]
}
WIDE = Variant("wide", 10, n_embd=256, n_head=8, d_head=32, n_ff=512)  # rows of whole K-blocks


def prompt(n: int = 40, seed: int = 0) -> NDArray[np.int32]:
    """Token ids: the beginning of a text, then anything that is no control token."""
    raw = np.random.PCG64(1000 + seed).random_raw(n)
    return np.concatenate([[1], 3 + raw[1:] % (N_VOCAB - 3)]).astype(np.int32)


class _Numbers:
    """Uniform numbers of a given spread, in the order in which they are asked for."""

    def __init__(self, seed: int) -> None:
        self._bits = np.random.PCG64(seed)

    def __call__(self, *shape: int, spread: float, center: float = 0.0) -> Array:
        raw = self._bits.random_raw(math.prod(shape)) >> np.uint64(40)
        unit = raw.astype(np.float64) / 2**24 - 0.5
        return (center + spread * math.sqrt(12) * unit).reshape(shape).astype(np.float32)


def weights(v: Variant) -> dict[str, Array]:
    """All tensors by name; spreads are chosen so that logits are of the order of one and attention
    is far from uniform.
    """
    numbers = _Numbers(v.seed)
    w: dict[str, Array] = {}

    def matrix(name: str, *shape: int, gain: float = 1.0, bias: bool = False) -> None:
        w[f"{name}.weight"] = numbers(*shape, spread=gain / math.sqrt(shape[-1]))
        if bias:
            w[f"{name}.bias"] = numbers(shape[0], spread=0.3)

    def norm(name: str) -> None:
        w[f"{name}.weight"] = numbers(v.n_embd, spread=0.2, center=1.0)

    matrix("token_embd", N_VOCAB, v.n_embd)
    for i in range(v.n_layer):
        blk, bias = f"blk.{i}", v.attention_bias
        norm(f"{blk}.attn_norm")
        matrix(f"{blk}.attn_q", v.n_head * v.d_head, v.n_embd, gain=1.4, bias=bias)
        matrix(f"{blk}.attn_k", v.n_kv * v.d_head, v.n_embd, gain=1.4, bias=bias)
        matrix(f"{blk}.attn_v", v.n_kv * v.d_head, v.n_embd, bias=bias)
        matrix(f"{blk}.attn_output", v.n_embd, v.n_head * v.d_head, bias=bias)
        norm(f"{blk}.ffn_norm")
        if v.n_expert:
            matrix(f"{blk}.ffn_gate_inp", v.n_expert, v.n_embd, gain=2.0)
            matrix(f"{blk}.ffn_gate_exps", v.n_expert, v.n_ff, v.n_embd, gain=2.0)
            matrix(f"{blk}.ffn_up_exps", v.n_expert, v.n_ff, v.n_embd)
            matrix(f"{blk}.ffn_down_exps", v.n_expert, v.n_embd, v.n_ff)
        else:
            matrix(f"{blk}.ffn_gate", v.n_ff, v.n_embd, gain=2.0, bias=v.mlp_bias)
            matrix(f"{blk}.ffn_up", v.n_ff, v.n_embd, bias=v.mlp_bias)
            matrix(f"{blk}.ffn_down", v.n_embd, v.n_ff, bias=v.mlp_bias)
    norm("output_norm")
    if not v.tied:
        matrix("output", N_VOCAB, v.n_embd)
    if v.rope.get("rope_type") == "llama3":
        w["rope_freqs.weight"] = llama3_factors(v)
    return w


def llama3_factors(v: Variant) -> Array:
    """What divides each frequency in Llama 3: short waves stay, long ones are stretched."""
    r = v.rope
    wave = 2 * math.pi * v.rope_base ** (np.arange(0, v.d_head, 2) / v.d_head)
    turns = r["original_max_position_embeddings"] / wave
    low, high = r["low_freq_factor"], r["high_freq_factor"]
    smooth = np.clip((turns - low) / (high - low), 0.0, 1.0)
    return (1.0 / ((1.0 - smooth) / r["factor"] + smooth)).astype(np.float32)


def metadata(v: Variant) -> dict[str, Any]:
    """What the file says about the model and its vocabulary."""
    keys: dict[str, Any] = {
        "context_length": N_CTX,
        "embedding_length": v.n_embd,
        "block_count": v.n_layer,
        "feed_forward_length": v.n_ff,
        "attention.head_count": v.n_head,
        "attention.head_count_kv": v.n_kv,
        "attention.layer_norm_rms_epsilon": 1e-5,
        "rope.dimension_count": v.d_head,
        "rope.freq_base": v.rope_base,
        "vocab_size": N_VOCAB,
    }
    if v.d_head * v.n_head != v.n_embd:
        keys |= {"attention.key_length": v.d_head, "attention.value_length": v.d_head}
    if v.window:
        keys["attention.sliding_window"] = v.window
    if v.n_expert:
        keys |= {"expert_count": v.n_expert, "expert_used_count": v.n_used}
    if v.rope.get("rope_type") in ("linear", "yarn"):
        keys |= {"rope.scaling.type": v.rope["rope_type"], "rope.scaling.factor": v.rope["factor"]}
    for key, meant in [
        ("original_context_length", "original_max_position_embeddings"),
        ("yarn_beta_fast", "beta_fast"),
        ("yarn_beta_slow", "beta_slow"),
        ("yarn_attn_factor", "attention_factor"),
    ]:
        if v.rope.get("rope_type") == "yarn" and meant in v.rope:
            keys[f"rope.scaling.{key}"] = v.rope[meant]
    return {
        "general.architecture": "llama",
        "general.name": f"tiny {v.name}",
        **{f"llama.{name}": value for name, value in keys.items()},
        **_vocabulary(),
    }


def _vocabulary() -> dict[str, Any]:
    """Control tokens, every byte, and a few pieces."""
    pieces = ["\u2581", "a", "b", "\u2581a", "\u2581b"]
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{i:02X}>" for i in range(256)), *pieces]
    kinds = [2, 3, 3, *[6] * 256, *[1] * len(pieces)]
    scores = [0.0] * 259 + [-float(i) for i in range(len(pieces))]
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.scores": np.array(scores, np.float32),
        "tokenizer.ggml.token_type": np.array(kinds, np.int32),
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0,
    }


def random_blocks(kind: DType, shape: tuple[int, ...], seed: int) -> NDArray[np.uint8]:
    """Blocks of random bytes with reasonable factors: nothing here makes them from numbers."""
    n_blocks = math.prod(shape) // kind.block
    raw = np.random.PCG64(2000 + seed).random_raw(n_blocks * kind.size)
    blocks = (raw >> np.uint64(56)).astype(np.uint8).reshape(n_blocks, kind.size)
    for at, value in K_FIELDS[kind.name].items():
        blocks[:, at : at + 2] = np.array([value], "<f2").view(np.uint8)
    return blocks


def fingerprint(v: Variant) -> str:
    """Of the weights: goldens are good for these and no others."""
    digest = hashlib.sha256()
    for name, array in weights(v).items():
        digest.update(name.encode() + array.tobytes())
    return digest.hexdigest()


def write(
    path: Path,
    v: Variant,
    dtype: str = "F32",
    *,
    change: Mapping[str, Any] | None = None,
    leave_out: tuple[str, ...] = (),
) -> Path:
    """Write the model; matrices are stored as `dtype`, all else as F32.

    K-blocks are random instead. `change` replaces metadata, `leave_out` names keys and tensors to
    omit.
    """
    tensors = []
    for name, array in weights(v).items():
        plain = array.ndim == 1 or name.endswith("ffn_gate_inp.weight")
        kind = BY_NAME["F32" if plain else dtype]
        data: NDArray[Any] = array
        if kind.name in K_FIELDS:
            data = random_blocks(kind, array.shape, len(tensors))
        elif kind.name != "F32":
            data = quantize(kind, array)
        if name not in leave_out:
            tensors.append((name, kind, array.shape, data))
    keys = {k: x for k, x in metadata(v).items() if k not in leave_out} | dict(change or {})
    write_gguf(path, keys, tensors)
    return path
