"""Architectures that transformers does not have, but for other names of what it has.

Each turns a checkpoint of a relative into one of the architecture, with the same logits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Config = dict[str, Any]
Weights = dict[str, NDArray[np.float32]]
Change = Callable[[Config, Weights], tuple[Config, Weights]]


def internlm2(config: Config, weights: Weights) -> tuple[Config, Weights]:
    """Llama: the queries of a group, its key and its value are rows of one matrix."""
    names = {
        "model.embed_tokens": "model.tok_embeddings",
        "lm_head": "output",
        "self_attn.o_proj": "attention.wo",
        "input_layernorm": "attention_norm",
        "post_attention_layernorm": "ffn_norm",
        "mlp.gate_proj": "feed_forward.w1",
        "mlp.down_proj": "feed_forward.w2",
        "mlp.up_proj": "feed_forward.w3",
    }
    n_kv, result = config["num_key_value_heads"], renamed(weights, names)
    d = config["hidden_size"] // config["num_attention_heads"]
    for i in range(config["num_hidden_layers"]):
        at = f"model.layers.{i}"
        q, k, v = (result.pop(f"{at}.self_attn.{part}_proj.weight") for part in "qkv")
        groups = [w.reshape(n_kv, -1, d, w.shape[1]) for w in (q, k, v)]
        fused = np.concatenate(groups, axis=1).reshape(-1, q.shape[1])
        result[f"{at}.attention.wqkv.weight"] = fused
    return {**config, "model_type": "internlm2"}, result


def exaone(config: Config, weights: Weights) -> tuple[Config, Weights]:
    """Llama under other names."""
    names = {
        "model.embed_tokens": "transformer.wte",
        "model.norm": "transformer.ln_f",
        "model.layers": "transformer.h",
        "self_attn.o_proj": "attn.attention.out_proj",
        "self_attn": "attn.attention",
        "input_layernorm": "ln_1",
        "post_attention_layernorm": "ln_2",
        "mlp.gate_proj": "mlp.c_fc_0",
        "mlp.up_proj": "mlp.c_fc_1",
        "mlp.down_proj": "mlp.c_proj",
    }
    changes = {
        "model_type": "exaone",
        "num_layers": config.pop("num_hidden_layers"),
        "layer_norm_epsilon": config.pop("rms_norm_eps"),
        "activation_function": config.pop("hidden_act"),
        "rope_theta": config["rope_parameters"]["rope_theta"],
        "rope_scaling": config.pop("rope_parameters"),
    }
    return {**config, **changes}, renamed(weights, names)


def minicpm(config: Config, weights: Weights) -> tuple[Config, Weights]:
    """Granite, whose multipliers follow from sizes."""
    changes = {
        "model_type": "minicpm",
        "scale_emb": config.pop("embedding_multiplier"),
        "scale_depth": config.pop("residual_multiplier") * math.sqrt(config["num_hidden_layers"]),
        "dim_model_base": config["hidden_size"] / config.pop("logits_scaling"),
    }
    config.pop("attention_multiplier")  # the usual one
    return {**config, **changes}, weights


def baichuan(config: Config, weights: Weights) -> tuple[Config, Weights]:
    """Llama, whose queries, keys and values are one matrix."""
    result = dict(weights)
    for i in range(config["num_hidden_layers"]):
        at = f"model.layers.{i}.self_attn"
        parts = [result.pop(f"{at}.{part}_proj.weight") for part in "qkv"]
        result[f"{at}.W_pack.weight"] = np.concatenate(parts)
    return {**config, "model_type": "baichuan"}, result


def chatglm(config: Config, weights: Weights) -> tuple[Config, Weights]:
    """GLM under its older names, with one matrix for queries, keys and values."""
    names = {
        "model.embed_tokens": "transformer.embedding.word_embeddings",
        "model.norm": "transformer.encoder.final_layernorm",
        "model.layers": "transformer.encoder.layers",
        "lm_head": "transformer.output_layer",
        "self_attn.o_proj": "self_attention.dense",
        "mlp.gate_up_proj": "mlp.dense_h_to_4h",
        "mlp.down_proj": "mlp.dense_4h_to_h",
    }
    result = renamed(weights, names)
    for i in range(config["num_hidden_layers"]):
        at = f"transformer.encoder.layers.{i}"
        for kind in ("weight", "bias"):
            parts = [result.pop(f"{at}.self_attn.{part}_proj.{kind}") for part in "qkv"]
            result[f"{at}.self_attention.query_key_value.{kind}"] = np.concatenate(parts)
    changes = {
        "model_type": "chatglm",
        "num_layers": config.pop("num_hidden_layers"),
        "ffn_hidden_size": config.pop("intermediate_size"),
        "seq_length": config.pop("max_position_embeddings"),
        "kv_channels": config.pop("head_dim"),
        "layernorm_epsilon": config.pop("rms_norm_eps"),
        "padded_vocab_size": config["vocab_size"],
        "multi_query_attention": True,
        "multi_query_group_num": config.pop("num_key_value_heads"),
        "rope_ratio": config.pop("rope_parameters")["rope_theta"] / 10_000.0,
        "rmsnorm": True,
    }
    return {**config, **changes}, result


def deepseek(config: Config, weights: Weights) -> tuple[Config, Weights]:
    """Qwen 2 MoE with a gate of 0 for its shared expert, which is then a half."""
    names = {"mlp.shared_expert": "mlp.shared_experts"}
    result = renamed({n: w for n, w in weights.items() if "expert_gate" not in n}, names)
    result |= {n: w * np.float32(0.5) for n, w in result.items() if "shared_experts.down" in n}
    changes = {
        "model_type": "deepseek",
        "n_routed_experts": config.pop("num_experts"),
        "n_shared_experts": config.pop("shared_expert_intermediate_size")
        // config["moe_intermediate_size"],
        "first_k_dense_replace": len(config["mlp_only_layers"]),
    }
    return {**config, **changes}, result


def bailing_moe(config: Config, weights: Weights) -> tuple[Config, Weights]:
    """The same under other names, with fused queries, keys and values."""
    config, weights = deepseek(config, weights)
    changes = {"model_type": "bailing_moe", "num_experts": config.pop("n_routed_experts")}
    changes["num_shared_experts"] = config.pop("n_shared_experts")
    return {**config, **changes}, with_fused_attention(config, weights)


def bailing_moe_v2(config: Config, weights: Weights) -> tuple[Config, Weights]:
    """GLM 4.5 under other names, with fused queries, keys and values."""
    changes = {
        "model_type": "bailing_moe",
        "architectures": ["BailingMoeV2ForCausalLM"],
        "num_experts": config.pop("n_routed_experts"),
        "num_shared_experts": config.pop("n_shared_experts"),
    }
    return {**config, **changes}, with_fused_attention(config, weights)


def with_fused_attention(config: Config, weights: Weights) -> Weights:
    """One matrix with the rows of queries, keys and values, and Ling's names."""
    names = {
        "model.embed_tokens": "model.word_embeddings",
        "mlp.gate.e_score_correction_bias": "mlp.gate.expert_bias",
        "self_attn.o_proj": "attention.dense",
        "self_attn.q_norm": "attention.query_layernorm",
        "self_attn.k_norm": "attention.key_layernorm",
        "self_attn": "attention",
    }
    result = renamed(weights, names)
    for i in range(config["num_hidden_layers"]):
        at = f"model.layers.{i}.attention"
        parts = [result.pop(f"{at}.{part}_proj.weight") for part in "qkv"]
        result[f"{at}.query_key_value.weight"] = np.concatenate(parts)
    return result


def kimi_k2(config: Config, weights: Weights) -> tuple[Config, Weights]:
    """DeepSeek V3 by another name, its experts in one group."""
    return {**config, "model_type": "kimi_k2"}, weights


def _visual(name: str) -> Change:
    """The text part of a model that sees pictures: its rotation names sections."""

    def change(config: Config, weights: Weights) -> tuple[Config, Weights]:
        heads = config["num_attention_heads"]
        pairs = (config.get("head_dim") or config["hidden_size"] // heads) // 2
        sections = [pairs - pairs // 3 * 2, pairs // 3, pairs // 3]
        rope = {**config["rope_parameters"], "mrope_section": sections}
        return {**config, "model_type": name, "rope_parameters": rope}, weights

    return change


CHANGES = (
    internlm2, exaone, minicpm, baichuan, chatglm, deepseek, bailing_moe, bailing_moe_v2, kimi_k2
)  # fmt: skip
VISUAL = ("qwen2_vl_text", "qwen3_vl_text", "qwen3_vl_moe_text")
RELATIVES = {f.__name__: f for f in CHANGES} | {name: _visual(name) for name in VISUAL}


def renamed(weights: Weights, names: Mapping[str, str]) -> Weights:
    """The first part of `names` that a name has, exchanged; then the next."""
    result = {}
    for name, array in weights.items():
        for old, new in names.items():
            name = f".{name}.".replace(f".{old}.", f".{new}.").strip(".")
        result[name] = array
    return result
