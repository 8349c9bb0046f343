"""How a Hugging Face checkpoint becomes an architecture's file: metadata, names, layouts.

An architecture declares it as `checkpoints`, beside its wiring; `format/huggingface.py` does it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmpy.errors import UnsupportedModelError

__all__ = [
    "Array",
    "Checkpoint",
    "Config",
    "Tensor",
    "around_zero",
    "expect",
    "expect_no_limit",
    "longrope_attention",
    "normed_on_both_sides",
    "original_context",
    "paired",
    "rope",
    "rope_scaling",
    "rope_sections",
    "rope_tensors",
    "rotated_dims",
    "sizes",
    "ungrouped",
    "usual",
    "usual_tensors",
    "window_pattern",
    "without_prediction",
]

Config = Mapping[str, Any]
Array = NDArray[Any]
Change = Callable[..., "Array | Sequence[Array]"]


@dataclass(frozen=True)
class Tensor:
    """Tensors named `source` become `target`.

    `{i}` stands for the number of a block; `{e}` for that of an expert, whose tensors are stacked
    (each changed before). Where a name goes on with ".weight" or ".bias", so does its target. With
    several sources all are read. `change(array, ...)` gets them as float32 (U8 as it is), must not
    write into them, and gives the array as the file has it, or with several targets as many arrays.
    A tensor without a target is left out. Of the rules that fit a name, the first is taken.
    `dtype` names the type to store; of block types `change` then gives the bytes, uint8
    [..., bytes of a row]. Otherwise tensors keep their type, and vectors and norms become F32.
    """

    source: str | tuple[str, ...]
    target: str | tuple[str, ...] | None
    change: Change | None = None
    dtype: str | None = None


@dataclass(frozen=True)
class Checkpoint:
    """What `model_types` (of config.json) are called in GGUF, and how they get there.

    Of models that another has the model_type of, these are the names of their classes; where even
    those are the same, `metadata` gives "general.architecture".

    `metadata(config)` gives values by key, without the architecture's name before them ("general.",
    "tokenizer." and "xielu." keys are whole); None is left out. `tensors(config)` gives the rules
    for names, `extra(config)` tensors that no checkpoint has, by full name. `numbers` are keys
    whose values a checkpoint has as tensors of one number, `{i}` standing for the block.
    """

    name: str
    model_types: tuple[str, ...]
    metadata: Callable[[Config], Mapping[str, Any]]
    tensors: Callable[[Config], Sequence[Tensor]]
    extra: Callable[[Config], Mapping[str, Array]] | None = None
    numbers: Mapping[str, str] | None = None


def usual(config: Config) -> dict[str, Any]:
    """The keys that most decoders have, from the names that most configurations use."""
    heads, width = config["num_attention_heads"], config["hidden_size"]
    rope = config.get("rope_parameters") or {}
    d_head = config.get("head_dim")
    return {
        "context_length": config["max_position_embeddings"],
        "embedding_length": width,
        "block_count": config["num_hidden_layers"],
        "feed_forward_length": config.get("intermediate_size"),
        "attention.head_count": heads,
        "attention.head_count_kv": config.get("num_key_value_heads"),
        "attention.key_length": d_head,
        "attention.value_length": d_head,
        "attention.layer_norm_rms_epsilon": config.get("rms_norm_eps"),
        "rope.dimension_count": d_head or width // heads,
        "rope.freq_base": rope.get("rope_theta", config.get("rope_theta")),
        "vocab_size": config["vocab_size"],
        **rope_scaling(config),
    }


def sizes(config: Config) -> dict[str, Any]:
    """The keys of decoders from before 2023, whose configurations name sizes as GPT-2's does."""
    width = config["n_embd"]
    return {
        "context_length": config["n_positions"],
        "embedding_length": width,
        "block_count": config["n_layer"],
        "feed_forward_length": config.get("n_inner") or 4 * width,
        "attention.head_count": config["n_head"],
        "attention.layer_norm_epsilon": config["layer_norm_epsilon"],
        "vocab_size": config["vocab_size"],
    }


def usual_tensors(config: Config, *, pairs: bool = False) -> list[Tensor]:
    """The names that most decoders have.

    `pairs`: GGUF has the rotated pairs of queries and keys side by side, the checkpoint as halves.
    """
    n_head = config["num_attention_heads"]
    n_kv = config.get("num_key_value_heads") or n_head
    q, k = (partial(paired, n_head=n) if pairs else None for n in (n_head, n_kv))
    at, to = "model.layers.{i}.", "blk.{i}."
    return [
        Tensor("model.embed_tokens", "token_embd"),
        Tensor("model.norm", "output_norm"),
        Tensor("lm_head", "output"),
        Tensor(at + "input_layernorm", to + "attn_norm"),
        Tensor(at + "self_attn.q_proj", to + "attn_q", q),
        Tensor(at + "self_attn.k_proj", to + "attn_k", k),
        Tensor(at + "self_attn.v_proj", to + "attn_v"),
        Tensor(at + "self_attn.o_proj", to + "attn_output"),
        Tensor(at + "self_attn.q_norm", to + "attn_q_norm"),
        Tensor(at + "self_attn.k_norm", to + "attn_k_norm"),
        Tensor(at + "self_attn.rotary_emb.inv_freq", None),
        Tensor(at + "post_attention_layernorm", to + "ffn_norm"),
        Tensor(at + "mlp.gate_proj", to + "ffn_gate"),
        Tensor(at + "mlp.up_proj", to + "ffn_up"),
        Tensor(at + "mlp.down_proj", to + "ffn_down"),
    ]


def around_zero(norms: Mapping[str, str]) -> list[Tensor]:
    """Rules, by source, for norms that multiply by 1 + weight."""
    return [Tensor(source, target, lambda w: w + 1) for source, target in norms.items()]


def normed_on_both_sides(config: Config) -> list[Tensor]:
    """The usual names, with norms around 0 before and after both halves of a block."""
    at, to = "model.layers.{i}.", "blk.{i}."
    norms = {
        "model.norm": "output_norm",
        at + "input_layernorm": to + "attn_norm",
        at + "self_attn.q_norm": to + "attn_q_norm",
        at + "self_attn.k_norm": to + "attn_k_norm",
        at + "post_attention_layernorm": to + "post_attention_norm",
        at + "pre_feedforward_layernorm": to + "ffn_norm",
        at + "post_feedforward_layernorm": to + "post_ffw_norm",
    }
    return [*around_zero(norms), *usual_tensors(config)]


def without_prediction(rules: Sequence[Tensor]) -> list[Tensor]:
    """These, and a block of the same names under "mtp." that predicts further tokens left out."""
    names = [
        f"mtp.{part}" for part in ("fc", "norm", "pre_fc_norm_embedding", "pre_fc_norm_hidden")
    ]
    sources = (str(rule.source) for rule in rules)
    names += [source.replace("model.", "mtp.") for source in sources if "{i}" in source]
    return [*rules, *(Tensor(name, None) for name in sorted(set(names)))]


def expect(config: Config, key: str, *allowed: Any) -> None:
    """Refuse a configuration that says something else, which GGUF could not express."""
    if key in config and config[key] not in allowed:
        expected = " or ".join(map(repr, allowed))
        raise UnsupportedModelError(None, f"config.json '{key}'", expected, repr(config[key])[:80])


def expect_no_limit(config: Config, key: str) -> None:
    """Refuse limits of steps other than 0 and infinity, which GGUF could not express."""
    low, high = config.get(key) or (0.0, math.inf)
    if isinstance(high, Mapping):  # as transformers writes what JSON has no word for
        high = high.get("__float__", 0)
    if low > 0 or float(high) != math.inf:
        raise UnsupportedModelError(None, f"config.json '{key}'", "no limits", f"{low} to {high}")


def window_pattern(config: Config) -> dict[str, Any]:
    """The sliding window, and which layers have it: flags for each, or a period, if they are told.

    Older configurations have the period, or letters that repeat: "L" for a window.
    """
    types, pattern = config.get("layer_types"), config.get("sliding_window_pattern")
    if types:
        pattern = [kind == "sliding_attention" for kind in types]
    elif isinstance(pattern, str):
        n = config["num_hidden_layers"]
        pattern = [pattern[i % len(pattern)] == "L" for i in range(n)]
    window = config.get("sliding_window")
    return {
        "attention.sliding_window": window,
        "attention.sliding_window_pattern": pattern if window else None,
    }


def rope_scaling(config: Config) -> dict[str, Any]:
    """Keys of linear and YaRN scaling; llama3's and longrope's are tensors of the file."""
    said = config.get("rope_parameters") or config.get("rope_scaling") or {}
    kind = said.get("rope_type", said.get("type", "default"))
    if kind not in ("linear", "yarn"):
        return {}
    keys = {"rope.scaling.type": kind, "rope.scaling.factor": float(said["factor"])}
    if kind == "yarn":
        keys |= {
            "rope.scaling.original_context_length": said.get("original_max_position_embeddings"),
            "rope.scaling.yarn_beta_fast": said.get("beta_fast"),
            "rope.scaling.yarn_beta_slow": said.get("beta_slow"),
            "rope.scaling.yarn_attn_factor": said.get("attention_factor"),
        }
    return keys


def paired(w: Array, n_head: int) -> Array:
    """Rows of queries or keys: from halves of a head that are rotated together, to pairs.

    Checkpoints have the first values of all pairs before the second ones, GGUF of some
    architectures has each pair side by side. [n_head * d, ...] gives the same shape.
    """
    halves = w.reshape(n_head, 2, -1, *w.shape[1:])
    return np.ascontiguousarray(halves.swapaxes(1, 2)).reshape(w.shape)


def ungrouped(w: Array, n_head: int, n_kv: int) -> Array:
    """Rows of one matrix for all of attention: from groups to all queries, all keys, all values.

    Each group has the queries that share a key, that key, and its value. The shape stays.
    """
    groups = w.reshape(n_kv, n_head // n_kv + 2, -1, *w.shape[1:])
    parts = groups[:, :-2], groups[:, -2], groups[:, -1]
    return np.concatenate([part.reshape(-1, *w.shape[1:]) for part in parts])


def rope(config: Config) -> Config:
    """What a configuration says about its rotation, under the name that its time used."""
    said: Config = config.get("rope_parameters") or config.get("rope_scaling") or {}
    return said.get("full_attention") or said


def rope_sections(config: Config, usually: Sequence[int] = ()) -> list[int] | None:
    """Pairs that turn by each coordinate of a picture; of text all coordinates are the same."""
    said = rope(config).get("mrope_section") or usually
    return [*said, 0] if said else None


def rope_tensors(config: Config) -> dict[str, Array]:
    """Divisors of the rotary frequencies: Llama 3's by wavelength, longrope's as it says."""
    said = rope(config)
    kind = said.get("rope_type", said.get("type", "default"))
    if kind == "llama3":
        return {"rope_freqs.weight": _llama3_factors(config, said)}
    if kind in ("longrope", "su"):
        names = {"long_factor": "rope_factors_long", "short_factor": "rope_factors_short"}
        return {f"{to}.weight": np.array(said[key], np.float32) for key, to in names.items()}
    return {}


def _llama3_factors(config: Config, said: Config) -> Array:
    """Divisors [n_dims / 2], float32 (Dubey et al. 2024).

    1 for pairs that turn often within the original context, `factor` for those that hardly do,
    and between them a mixture.
    """
    n = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    base = said.get("rope_theta", config.get("rope_theta", 10_000.0))
    frequencies = base ** (-np.arange(0, n, 2) / n)
    turns = said["original_max_position_embeddings"] * frequencies / (2 * np.pi)
    low, high = said["low_freq_factor"], said["high_freq_factor"]
    smooth = np.clip((turns - low) / (high - low), 0, 1)
    factors: Array = 1 / ((1 - smooth) / said["factor"] + smooth)
    return factors.astype(np.float32)


def longrope_attention(config: Config) -> float:
    """Factor on rotated values of longrope: grows with the stretch (Ding et al. 2024)."""
    said = rope(config)
    if said.get("rope_type", said.get("type")) not in ("longrope", "su"):
        return 1.0
    if said.get("attention_factor") is not None:
        return float(said["attention_factor"])
    original = original_context(config)
    stretch = config["max_position_embeddings"] / original
    return float(np.sqrt(1 + np.log(stretch) / np.log(original))) if stretch > 1 else 1.0


def original_context(config: Config) -> int:
    """The context before it was stretched."""
    name = "original_max_position_embeddings"
    return int(rope(config).get(name) or config.get(name) or config["max_position_embeddings"])


def rotated_dims(config: Config, usually: float = 1.0) -> int:
    """How many values of a head are rotated: a part that the configuration says, or `usually`."""
    name = "partial_rotary_factor"
    part = rope(config).get(name, config.get(name, usually))
    d_head = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    return int(part * d_head)
