"""Make a GGUF file with random weights in a real shape, for measuring speed, memory and agreement.

    python tools/random_gguf.py llama-1b out.gguf --type f16 --vocab vocabulary.gguf --seed 0

The weights are Gaussian, small enough that the logits stay sane; the file says nothing sensible.
With --outliers, the inputs of products are as unequal as tools/measure_outliers.py found those of
a real model: norms and rows of weights make channels larger, and weights that meet them smaller.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmpy.dtypes import BY_NAME, DType
from llmpy.format import Typed, open_gguf, write_gguf

PIECE = 1 << 22  # values made at a time: keeps memory below 100 MB


@dataclass(frozen=True)
class Shape:
    """The hyperparameters of a Llama or its like; `n_expert` of 0 means no mixture.

    `head_norms`: the vectors that norms of queries and keys have, "head", "all" or "" for none.
    `norms`: which ones a layer has, "before" attention and feed-forward, or behind them.
    """

    n_embd: int
    n_layer: int
    n_head: int
    n_kv: int
    n_ff: int
    n_vocab: int
    n_ctx: int
    rope_base: float = 10_000.0
    eps: float = 1e-5
    n_expert: int = 0
    n_used: int = 0
    architecture: str = "llama"
    d_head: int = 0
    head_norms: str = ""
    norms: tuple[str, ...] = ("attn_norm", "ffn_norm")
    keys: tuple[tuple[str, Any], ...] = ()

    @property
    def d(self) -> int:
        """Values of a head."""
        return self.d_head or self.n_embd // self.n_head


SHAPES = {
    "llama-1b": Shape(2048, 16, 32, 8, 8192, 128_256, 131_072, rope_base=500_000.0),
    "llama-15m": Shape(288, 6, 6, 6, 768, 32_000, 2048),
    "qwen3-0.6b": Shape(
        1024,
        28,
        16,
        8,
        3072,
        151_936,
        40_960,
        rope_base=1e6,
        eps=1e-6,
        architecture="qwen3",
        d_head=128,
        head_norms="head",
    ),
    "gemma3-4b": Shape(
        2560,
        34,
        8,
        4,
        10_240,
        262_144,
        131_072,
        rope_base=1e6,
        eps=1e-6,
        architecture="gemma3",
        d_head=256,
        head_norms="head",
        norms=("attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm"),
        keys=(("attention.sliding_window", 1024),),
    ),
    "olmo2-1b": Shape(
        2048,
        16,
        16,
        16,
        8192,
        100_352,
        4096,
        rope_base=500_000.0,
        eps=1e-6,
        architecture="olmo2",
        head_norms="all",
        norms=("post_attention_norm", "post_ffw_norm"),
    ),
    "small": Shape(512, 4, 8, 4, 1536, 2048, 1024),
    "tiny": Shape(64, 2, 4, 2, 96, 320, 256),
    "tiny-mixtral": Shape(64, 2, 4, 2, 96, 320, 256, n_expert=4, n_used=2),
}

FILE_TYPES = {"F32": 0, "F16": 1, "Q4_0": 2, "Q8_0": 7, "BF16": 32}


def to_f32(x: NDArray[np.float32]) -> NDArray[Any]:
    return x


def to_f16(x: NDArray[np.float32]) -> NDArray[Any]:
    return x.astype(np.float16)


def to_bf16(x: NDArray[np.float32]) -> NDArray[Any]:
    """Round to nearest, ties to even, and keep the upper half."""
    bits = x.view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def to_q8_0(x: NDArray[np.float32]) -> NDArray[Any]:
    """Blocks of 32: an f16 scale, then 32 signed bytes."""
    x = x.reshape(-1, 32)
    scale = np.abs(x).max(axis=1, keepdims=True) / np.float32(127)
    inverse = np.divide(1, scale, out=np.zeros_like(scale), where=scale > 0)
    blocks = np.empty((len(x), 34), np.uint8)
    blocks[:, :2] = scale.astype(np.float16).view(np.uint8)
    blocks[:, 2:] = np.rint(x * inverse).astype(np.int8).view(np.uint8)
    return blocks


def to_q4_0(x: NDArray[np.float32]) -> NDArray[Any]:
    """Blocks of 32: an f16 scale, then 16 bytes with value i low and value i + 16 high."""
    x = x.reshape(-1, 32)
    largest = np.take_along_axis(x, np.abs(x).argmax(axis=1)[:, None], axis=1)
    scale = largest / np.float32(-8)
    inverse = np.divide(1, scale, out=np.zeros_like(scale), where=scale != 0)
    nibbles = np.clip(np.floor(x * inverse + np.float32(8.5)), 0, 15).astype(np.uint8)
    blocks = np.empty((len(x), 18), np.uint8)
    blocks[:, :2] = scale.astype(np.float16).view(np.uint8)
    blocks[:, 2:] = nibbles[:, :16] | nibbles[:, 16:] << 4
    return blocks


ENCODERS: dict[str, Callable[[NDArray[np.float32]], NDArray[Any]]] = {
    "F32": to_f32,
    "F16": to_f16,
    "BF16": to_bf16,
    "Q8_0": to_q8_0,
    "Q4_0": to_q4_0,
}


@dataclass(frozen=True)
class Sizes:
    """What the rows and the columns of a matrix are multiplied by; a vector has one row."""

    rows: NDArray[np.float32] | None = None
    columns: NDArray[np.float32] | None = None


def pieces(
    key: tuple[int, int],
    shape: tuple[int, ...],
    dtype: DType,
    mean: float,
    sigma: float,
    sizes: Sizes,
) -> Iterator[NDArray[Any]]:
    """The values of one tensor, encoded, some rows at a time; the same for the same key."""
    random = np.random.default_rng(key)
    width = shape[-1]
    n_rows = int(np.prod(shape[:-1]))
    step = max(1, PIECE // width)
    for begin in range(0, n_rows, step):
        n = min(step, n_rows - begin)
        values = random.standard_normal((n, width), np.float32)
        values *= np.float32(sigma)
        if mean:
            values += np.float32(mean)
        if sizes.columns is not None:
            values *= sizes.columns
        if sizes.rows is not None:
            values *= sizes.rows[begin : begin + n, None]
        yield ENCODERS[dtype.name](values.reshape(-1))


Quantiles = dict[str, list[float]]


def channels(quantiles: Quantiles, kind: str, n: int, key: tuple[int, int]) -> NDArray[np.float32]:
    """Sizes of n channels as the quantiles have them, in random order."""
    at = quantiles[kind]
    sizes = np.interp(np.linspace(0, 1, n), np.linspace(0, 1, len(at)), at)
    mixed: NDArray[np.float32] = np.random.default_rng(key).permutation(sizes).astype(np.float32)
    return mixed


def outlier_sizes(s: Shape, quantiles: Quantiles, seed: int) -> dict[str, Sizes]:
    """By tensor name: what makes some inputs of products large, and their weights small."""
    d, found = s.d, {}
    for i in range(s.n_layer):
        layer, key = f"blk.{i}.", lambda kind, i=i: (seed + 1, 8 * i + kind)
        attn = channels(quantiles, "attn_q", s.n_embd, key(0))
        ffn = channels(quantiles, "ffn_gate", s.n_embd, key(1))
        down = channels(quantiles, "ffn_down", s.n_ff, key(2))
        value = channels(quantiles, "attn_output", s.n_kv * d, key(3))
        met = np.repeat(value.reshape(s.n_kv, 1, d), s.n_head // s.n_kv, axis=1).reshape(-1)
        found |= {
            f"{layer}attn_norm.weight": Sizes(columns=attn),
            f"{layer}attn_q.weight": Sizes(columns=1 / attn),
            f"{layer}attn_k.weight": Sizes(columns=1 / attn),
            f"{layer}attn_v.weight": Sizes(rows=value, columns=1 / attn),
            f"{layer}attn_output.weight": Sizes(columns=1 / met),
            f"{layer}ffn_norm.weight": Sizes(columns=ffn),
            f"{layer}ffn_gate.weight": Sizes(columns=1 / ffn),
            f"{layer}ffn_up.weight": Sizes(rows=down, columns=1 / ffn),
            f"{layer}ffn_down.weight": Sizes(columns=1 / down),
        }
    return found


def layer_tensors(s: Shape, i: int) -> Iterator[tuple[str, tuple[int, ...], float]]:
    """Name, shape and scale of layer `i`'s tensors; what ends in the residual stream is smaller."""
    d = s.d
    residual = (2 * s.n_layer) ** -0.5
    inward, outward = s.n_embd**-0.5, s.n_ff**-0.5 * residual
    half = len(s.norms) // 2
    for name in s.norms[:half]:
        yield f"blk.{i}.{name}.weight", (s.n_embd,), 0.1
    if s.head_norms:
        for name, heads in (("attn_q_norm", s.n_head), ("attn_k_norm", s.n_kv)):
            yield f"blk.{i}.{name}.weight", (d * (heads if s.head_norms == "all" else 1),), 0.1
    yield f"blk.{i}.attn_q.weight", (s.n_head * d, s.n_embd), inward
    yield f"blk.{i}.attn_k.weight", (s.n_kv * d, s.n_embd), inward
    yield f"blk.{i}.attn_v.weight", (s.n_kv * d, s.n_embd), inward
    yield f"blk.{i}.attn_output.weight", (s.n_embd, s.n_head * d), inward * residual
    for name in s.norms[half:]:
        yield f"blk.{i}.{name}.weight", (s.n_embd,), 0.1
    if s.n_expert:
        yield f"blk.{i}.ffn_gate_inp.weight", (s.n_expert, s.n_embd), inward
        yield f"blk.{i}.ffn_gate_exps.weight", (s.n_expert, s.n_ff, s.n_embd), inward
        yield f"blk.{i}.ffn_up_exps.weight", (s.n_expert, s.n_ff, s.n_embd), inward
        yield f"blk.{i}.ffn_down_exps.weight", (s.n_expert, s.n_embd, s.n_ff), outward
    else:
        yield f"blk.{i}.ffn_gate.weight", (s.n_ff, s.n_embd), inward
        yield f"blk.{i}.ffn_up.weight", (s.n_ff, s.n_embd), inward
        yield f"blk.{i}.ffn_down.weight", (s.n_embd, s.n_ff), outward


def tensors(
    s: Shape, n_vocab: int, dtype: DType, seed: int, quantiles: Quantiles | None = None
) -> list[tuple[Any, ...]]:
    """All tensors as `write_gguf` takes them; norms and routers stay F32."""
    sizes = outlier_sizes(s, quantiles, seed) if quantiles else {}
    named = [("token_embd.weight", (n_vocab, s.n_embd), s.n_embd**-0.5)]
    named += itertools.chain.from_iterable(layer_tensors(s, i) for i in range(s.n_layer))
    named.append(("output_norm.weight", (s.n_embd,), 0.1))
    result = []
    for i, (name, shape, sigma) in enumerate(named):
        small = len(shape) == 1 or "ffn_gate_inp" in name
        kind = BY_NAME["F32"] if small else dtype
        mean = 1.0 if len(shape) == 1 else 0.0
        data = (seed, i), shape, kind, mean, sigma, sizes.get(name, Sizes())
        result.append((name, kind, shape, lambda data=data: pieces(*data)))
    return result


def metadata(name: str, s: Shape, n_vocab: int, dtype: DType) -> dict[str, Any]:
    keys: dict[str, Any] = {
        "vocab_size": n_vocab,
        "context_length": s.n_ctx,
        "embedding_length": s.n_embd,
        "block_count": s.n_layer,
        "feed_forward_length": s.n_ff,
        "attention.head_count": s.n_head,
        "attention.head_count_kv": s.n_kv,
        "attention.layer_norm_rms_epsilon": s.eps,
        "rope.dimension_count": s.d,
        "rope.freq_base": s.rope_base,
    }
    if s.n_expert:
        keys |= {"expert_count": s.n_expert, "expert_used_count": s.n_used}
    if s.d_head:
        keys |= {"attention.key_length": s.d_head, "attention.value_length": s.d_head}
    keys |= dict(s.keys)
    return {
        "general.architecture": s.architecture,
        "general.name": f"random {name}",
        "general.file_type": FILE_TYPES[dtype.name],
        **{f"{s.architecture}.{key}": value for key, value in keys.items()},
    }


def made_up_vocabulary(n: int) -> dict[str, Any]:
    """A vocabulary of sentencepiece's kind: specials, bytes, then ever longer words of letters."""
    special = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)]
    letters = "etaoinshrdlcumwfgypbvkjxqz"
    singles = ["▁", *letters, *letters.upper(), *"0123456789.,;:!?'\"()-"]
    words = (
        start + "".join(word)
        for length in itertools.count(1)
        for word in itertools.product(letters, repeat=length)
        for start in ("▁", "")
        if start or length > 1
    )
    tokens = list(itertools.islice(itertools.chain(special, singles, words), n))
    if n < len(special) or len(set(tokens)) != n:
        raise ValueError(f"a vocabulary needs {len(special)} tokens or more, not {n}")
    types = np.ones(n, np.int32)
    types[: len(special)] = [2, 3, 3] + [6] * 256
    scores = -np.arange(n, dtype=np.float32)
    scores[: len(special)] = 0
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.scores": scores,
        "tokenizer.ggml.token_type": types,
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0,
        "tokenizer.ggml.add_bos_token": True,
        "tokenizer.ggml.add_eos_token": False,
    }


def vocabulary_of(path: Path) -> dict[str, Any]:
    """The tokenizer's keys of another GGUF file."""
    with open_gguf(path) as file:
        return {
            key: Typed(file.kinds[key], value)
            for key, value in file.metadata.items()
            if key.startswith("tokenizer.")
        }


def make(
    name: str,
    out: Path,
    *,
    dtype: str,
    vocabulary: Path | None,
    seed: int,
    outliers: Path | None = None,
    n_layer: int | None = None,
) -> None:
    """Write the shape called `name` to `out`; `dtype` is for its matrices."""
    shape, kind = SHAPES[name], BY_NAME[dtype]
    shape = replace(shape, n_layer=n_layer or shape.n_layer)
    if outliers and shape.n_expert:
        raise ValueError(f"{name}: outliers are only made in models without experts")
    words = vocabulary_of(vocabulary) if vocabulary else made_up_vocabulary(shape.n_vocab)
    tokens = words["tokenizer.ggml.tokens"]
    n_vocab = len(tokens.value if isinstance(tokens, Typed) else tokens)
    keys = metadata(name, shape, n_vocab, kind) | words
    quantiles = json.loads(outliers.read_text()) if outliers else None
    write_gguf(out, keys, tensors(shape, n_vocab, kind, seed, quantiles))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Make a GGUF file with random weights.")
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("out", type=Path)
    parser.add_argument("--type", choices=[name.lower() for name in ENCODERS], default="f16")
    parser.add_argument("--vocab", type=Path, help="a GGUF file to take the vocabulary from")
    parser.add_argument("--layers", type=int, help="fewer of them, for a smaller file")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--outliers", type=Path, help="what tools/measure_outliers.py wrote")
    given = parser.parse_args(arguments)
    start = time.perf_counter()
    make(
        given.shape,
        given.out,
        dtype=given.type.upper(),
        vocabulary=given.vocab,
        seed=given.seed,
        outliers=given.outliers,
        n_layer=given.layers,
    )
    seconds = time.perf_counter() - start
    print(
        f"{given.out}: {given.out.stat().st_size / 1e6:.1f} MB in {seconds:.1f} s", file=sys.stderr
    )


if __name__ == "__main__":
    main()
