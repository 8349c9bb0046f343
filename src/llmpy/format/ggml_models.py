"""The old files of each architecture: header, names of tensors, and their names in GGUF.

Such files name no architecture, so that only the reader's caller can. Source: the loaders of
llm.rs and of the examples of ggml, 2023.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["MODELS", "OldModel"]

DROPPED = ""  # buffers that some converters took for weights


@dataclass(frozen=True)
class OldModel:
    """One architecture. `header`: its fields in order, "f:" before a float32 and "b:" a yes or no.

    `top` and `block` map the stored names to GGUF's; those of a block stand behind `prefix` and its
    number. A name goes on with ".weight" or ".bias", unless it is mapped whole. `keys` are metadata
    without the architecture's name: a field of the header, or a value that these files leave out.
    `columns`: of models in several files, the tensors that are split by column. `fused`: tensors
    whose rows are ordered by head, then query, key, value; GGUF has queries, keys, values, by head.
    """

    header: tuple[str, ...]
    prefix: str
    top: Mapping[str, str]
    block: Mapping[str, str]
    keys: Mapping[str, str | float]
    columns: tuple[str, ...] = ()
    fused: tuple[str, ...] = ()

    def target(self, name: str) -> str | None:
        """GGUF's name for a stored one, "" for what is left out, None for one not known."""
        inner = re.fullmatch(re.escape(self.prefix) + r"(\d{1,6})[./](.*)", name, re.DOTALL)
        table, name = (self.block, inner[2]) if inner else (self.top, name)
        found = table.get(name)
        if found is None:
            stem, dot, suffix = name.rpartition(".")
            if stem not in table or suffix not in ("weight", "bias"):
                return None
            found = table[stem] + dot + suffix
        return f"blk.{int(inner[1])}.{found}" if inner and found else found


_COUNTS = {"embedding_length": "n_embd", "block_count": "n_layer", "attention.head_count": "n_head"}
_EPSILON = {"attention.layer_norm_epsilon": 1e-5}
_LLAMA = OldModel(
    header=("n_vocab", "n_embd", "n_mult", "n_head", "n_layer", "n_rot", "file_type"),
    prefix="layers.",
    top={"tok_embeddings": "token_embd", "norm": "output_norm", "output": "output"},
    block={
        "attention_norm": "attn_norm",
        "attention.wq": "attn_q",
        "attention.wk": "attn_k",
        "attention.wv": "attn_v",
        "attention.wo": "attn_output",
        "ffn_norm": "ffn_norm",
        "feed_forward.w1": "ffn_gate",
        "feed_forward.w2": "ffn_down",
        "feed_forward.w3": "ffn_up",
    },
    keys={
        **_COUNTS,
        "context_length": 2048,
        "rope.dimension_count": "n_rot",
        "attention.layer_norm_rms_epsilon": 5e-6,  # Llama 1 has 1e-6, Llama 2 1e-5
    },
    columns=("token_embd.weight", "attn_output.weight", "ffn_down.weight"),
)
_BLOOM = OldModel(
    header=("n_vocab", "n_embd", "n_mult", "n_head", "n_layer", "file_type"),
    prefix="layers.",
    top={
        "tok_embeddings": "token_embd",
        "norm": "token_embd_norm",
        "output_norm": "output_norm",
        "output": "output",
    },
    block={
        "attention_norm": "attn_norm",
        "attention.query_key_value": "attn_qkv",
        "attention.wo": "attn_output",
        "ffn_norm": "ffn_norm",
        "feed_forward.w1": "ffn_up",
        "feed_forward.w2": "ffn_down",
    },
    keys={**_COUNTS, **_EPSILON, "context_length": 2048},
)
_FALCON = OldModel(
    header=("n_vocab", "n_embd", "n_head", "n_head_kv", "n_layer", "file_type"),
    prefix="transformer.h.",
    top={
        "transformer.word_embeddings": "token_embd",
        "transformer.ln_f": "output_norm",
        "lm_head": "output",
    },
    block={
        "input_layernorm": "attn_norm",
        "ln_mlp": "attn_norm",
        "ln_attn": "attn_norm_2",
        "self_attention.query_key_value": "attn_qkv",
        "self_attention.dense": "attn_output",
        "mlp.dense_h_to_4h": "ffn_up",
        "mlp.dense_4h_to_h": "ffn_down",
    },
    keys={
        **_COUNTS,
        **_EPSILON,
        "context_length": 2048,
        "attention.head_count_kv": "n_head_kv",
    },
)
_GPT2 = OldModel(
    header=("n_vocab", "n_ctx", "n_embd", "n_head", "n_layer", "file_type", "n_vocab"),
    prefix="model/h",
    top={
        "model/wte": "token_embd.weight",
        "model/wpe": "position_embd.weight",
        "model/ln_f/g": "output_norm.weight",
        "model/ln_f/b": "output_norm.bias",
        "model/lm_head": "output.weight",
    },
    block={
        f"{old}/{letter}": f"{new}.{suffix}"
        for old, new, first in (
            ("ln_1", "attn_norm", "g"),
            ("ln_2", "ffn_norm", "g"),
            ("attn/c_attn", "attn_qkv", "w"),
            ("attn/c_proj", "attn_output", "w"),
            ("mlp/c_fc", "ffn_up", "w"),
            ("mlp/c_proj", "ffn_down", "w"),
        )
        for letter, suffix in ((first, "weight"), ("b", "bias"))
    },
    keys={**_COUNTS, **_EPSILON, "context_length": "n_ctx"},
)
_GPTJ = OldModel(
    header=("n_vocab", "n_ctx", "n_embd", "n_head", "n_layer", "n_rot", "file_type", "n_vocab"),
    prefix="transformer.h.",
    top={
        "transformer.wte": "token_embd",
        "transformer.ln_f": "output_norm",
        "lm_head": "output",
    },
    block={
        "ln_1": "attn_norm",
        "attn.q_proj": "attn_q",
        "attn.k_proj": "attn_k",
        "attn.v_proj": "attn_v",
        "attn.out_proj": "attn_output",
        "attn.bias": DROPPED,
        "attn.masked_bias": DROPPED,
        "mlp.fc_in": "ffn_up",
        "mlp.fc_out": "ffn_down",
    },
    keys={**_COUNTS, **_EPSILON, "context_length": "n_ctx", "rope.dimension_count": "n_rot"},
)
_GPTNEOX = OldModel(
    header=(
        "n_vocab", "n_ctx", "n_embd", "n_head", "n_layer", "n_rot", "b:parallel", "file_type",
    ),
    prefix="gpt_neox.layers.",
    top={
        "gpt_neox.embed_in": "token_embd",
        "gpt_neox.final_layer_norm": "output_norm",
        "embed_out": "output",
    },
    block={
        "input_layernorm": "attn_norm",
        "post_attention_layernorm": "ffn_norm",
        "attention.query_key_value": "attn_qkv",
        "attention.dense": "attn_output",
        "attention.bias": DROPPED,
        "attention.masked_bias": DROPPED,
        "attention.rotary_emb.inv_freq": DROPPED,
        "mlp.dense_h_to_4h": "ffn_up",
        "mlp.dense_4h_to_h": "ffn_down",
    },
    keys={
        **_COUNTS,
        **_EPSILON,
        "context_length": "n_ctx",
        "rope.dimension_count": "n_rot",
        "use_parallel_residual": "parallel",
    },
    fused=("attn_qkv.weight", "attn_qkv.bias"),
)  # fmt: skip
_MPT = OldModel(
    header=(
        "n_embd", "n_ctx", "n_head", "n_layer", "n_vocab", "f:alibi", "f:clamp", "file_type",
    ),
    prefix="transformer.blocks.",
    top={
        "transformer.wte": "token_embd",
        "transformer.norm_f": "output_norm",
        "lm_head": "output",
    },
    block={
        "norm_1": "attn_norm",
        "norm_2": "ffn_norm",
        "attn.Wqkv": "attn_qkv",
        "attn.out_proj": "attn_output",
        "ffn.up_proj": "ffn_up",
        "ffn.down_proj": "ffn_down",
    },
    keys={
        **_COUNTS,
        **_EPSILON,
        "context_length": "n_ctx",
        "attention.max_alibi_bias": "alibi",
        "attention.clamp_kqv": "clamp",
    },
)  # fmt: skip

MODELS: Mapping[str, OldModel] = {
    "bloom": _BLOOM,
    "falcon": _FALCON,
    "gpt2": _GPT2,
    "gptj": _GPTJ,
    "gptneox": _GPTNEOX,
    "llama": _LLAMA,
    "mpt": _MPT,
}
"""By the architecture's name in GGUF."""
