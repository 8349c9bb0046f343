"""Values of keys that configurations leave out, by model_type: defaults of transformers 5.24.0.

Written by tools/make_config_defaults.py.
"""

from __future__ import annotations

from typing import Any

__all__ = ["DEFAULTS"]

# fmt: off
DEFAULTS: dict[str, dict[str, Any]] = {
    "apertus": {
        "rope_theta": 12000000.0,
    },
    "arcee": {
        "hidden_size": 2560, "intermediate_size": 18432, "max_position_embeddings": 4096,
        "num_attention_heads": 32, "num_hidden_layers": 32, "rms_norm_eps": 1e-05,
        "vocab_size": 32000, "rope_theta": 10000.0,
    },
    "cohere": {
        "hidden_size": 8192, "intermediate_size": 22528, "layer_norm_eps": 1e-05,
        "logit_scale": 0.0625, "max_position_embeddings": 8192, "num_attention_heads": 64,
        "num_hidden_layers": 40, "vocab_size": 256000, "rope_theta": 500000.0,
    },
    "cohere2": {
        "hidden_size": 8192, "intermediate_size": 22528, "layer_norm_eps": 1e-05,
        "logit_scale": 0.0625, "max_position_embeddings": 8192, "num_attention_heads": 64,
        "num_hidden_layers": 40, "sliding_window": 4096, "vocab_size": 256000,
        "rope_theta": 10000.0,
    },
    "deepseek_v3": {
        "first_k_dense_replace": 3, "hidden_size": 7168, "intermediate_size": 18432,
        "kv_lora_rank": 512, "max_position_embeddings": 4096, "moe_intermediate_size": 2048,
        "n_group": 8, "n_shared_experts": 1, "num_attention_heads": 128, "num_experts_per_tok": 8,
        "num_hidden_layers": 61, "num_key_value_heads": 128, "q_lora_rank": 1536,
        "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "rms_norm_eps": 1e-06,
        "routed_scaling_factor": 2.5, "topk_group": 4, "v_head_dim": 128, "vocab_size": 129280,
        "rope_theta": 10000.0, "norm_topk_prob": True,
    },
    "ernie4_5": {
        "head_dim": 128, "hidden_size": 1024, "intermediate_size": 3072,
        "max_position_embeddings": 131072, "num_attention_heads": 16, "num_hidden_layers": 18,
        "num_key_value_heads": 2, "rms_norm_eps": 1e-05, "vocab_size": 103424,
        "rope_theta": 500000.0,
    },
    "ernie4_5_moe": {
        "rope_theta": 500000.0,
    },
    "exaone": {
        "rope_theta": 500000.0,
    },
    "exaone4": {
        "hidden_size": 4096, "intermediate_size": 16384, "max_position_embeddings": 2048,
        "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 32,
        "rms_norm_eps": 1e-05, "sliding_window": 4096, "sliding_window_pattern": 4,
        "vocab_size": 102400, "rope_theta": 10000.0,
    },
    "falcon_h1": {
        "mamba_norm_before_gate": True,
    },
    "gemma": {
        "head_dim": 256, "hidden_size": 3072, "intermediate_size": 24576,
        "max_position_embeddings": 8192, "num_attention_heads": 16, "num_hidden_layers": 28,
        "num_key_value_heads": 16, "rms_norm_eps": 1e-06, "vocab_size": 256000,
        "rope_theta": 10000.0,
    },
    "gemma2": {
        "attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0, "head_dim": 256,
        "hidden_size": 2304, "intermediate_size": 9216, "max_position_embeddings": 8192,
        "num_attention_heads": 8, "num_hidden_layers": 26, "num_key_value_heads": 4,
        "query_pre_attn_scalar": 256, "rms_norm_eps": 1e-06, "sliding_window": 4096,
        "vocab_size": 256000, "rope_theta": 10000.0,
    },
    "gemma3_text": {
        "head_dim": 256, "hidden_size": 2304, "intermediate_size": 9216,
        "max_position_embeddings": 131072, "num_attention_heads": 8, "num_hidden_layers": 26,
        "num_key_value_heads": 4, "query_pre_attn_scalar": 256, "rms_norm_eps": 1e-06,
        "sliding_window": 4096, "vocab_size": 262208, "rope_theta": 1000000.0,
        "rope_local_base_freq": 10000.0,
    },
    "gemma4_text": {
        "head_dim": 256, "hidden_size": 2304, "hidden_size_per_layer_input": 256,
        "intermediate_size": 9216, "max_position_embeddings": 131072, "num_attention_heads": 8,
        "num_hidden_layers": 30, "num_key_value_heads": 4, "num_kv_shared_layers": 0,
        "rms_norm_eps": 1e-06, "sliding_window": 512, "vocab_size": 262144,
        "vocab_size_per_layer_input": 262144, "rope_theta": 10000.0,
    },
    "glm": {
        "head_dim": 128, "hidden_size": 4096, "intermediate_size": 13696,
        "max_position_embeddings": 131072, "num_attention_heads": 32, "num_hidden_layers": 40,
        "num_key_value_heads": 2, "rms_norm_eps": 1.5625e-07, "vocab_size": 151552,
        "rope_theta": 10000.0,
    },
    "glm4": {
        "head_dim": 128, "hidden_size": 4096, "intermediate_size": 13696,
        "max_position_embeddings": 131072, "num_attention_heads": 32, "num_hidden_layers": 40,
        "num_key_value_heads": 2, "rms_norm_eps": 1.5625e-07, "vocab_size": 151552,
        "rope_theta": 10000.0,
    },
    "glm4_moe": {
        "first_k_dense_replace": 1, "hidden_size": 4096, "intermediate_size": 10944,
        "max_position_embeddings": 131072, "moe_intermediate_size": 1408, "n_group": 1,
        "n_shared_experts": 1, "num_attention_heads": 96, "num_experts_per_tok": 8,
        "num_hidden_layers": 46, "num_key_value_heads": 8, "rms_norm_eps": 1e-05,
        "routed_scaling_factor": 1.0, "topk_group": 1, "vocab_size": 151552, "rope_theta": 10000.0,
        "norm_topk_prob": True,
    },
    "glm4_moe_lite": {
        "norm_topk_prob": True, "routed_scaling_factor": 1.8,
    },
    "gpt_oss": {
        "rope_theta": 150000.0,
    },
    "granite": {
        "attention_multiplier": 1.0, "embedding_multiplier": 1.0, "hidden_size": 4096,
        "intermediate_size": 11008, "logits_scaling": 1.0, "max_position_embeddings": 2048,
        "num_attention_heads": 32, "num_hidden_layers": 32, "residual_multiplier": 1.0,
        "rms_norm_eps": 1e-06, "vocab_size": 32000, "rope_theta": 10000.0,
    },
    "granitemoe": {
        "attention_multiplier": 1.0, "embedding_multiplier": 1.0, "hidden_size": 4096,
        "intermediate_size": 11008, "logits_scaling": 1.0, "max_position_embeddings": 2048,
        "num_attention_heads": 32, "num_experts_per_tok": 2, "num_hidden_layers": 32,
        "num_local_experts": 8, "residual_multiplier": 1.0, "rms_norm_eps": 1e-06,
        "vocab_size": 32000, "rope_theta": 10000.0,
    },
    "granitemoehybrid": {
        "attention_multiplier": 1.0, "embedding_multiplier": 1.0, "residual_multiplier": 1.0,
        "logits_scaling": 1.0,
    },
    "granitemoeshared": {
        "attention_multiplier": 1.0, "embedding_multiplier": 1.0, "residual_multiplier": 1.0,
        "logits_scaling": 1.0,
    },
    "jina_embeddings_v3": {
        "rotary_emb_base": 20000.0,
    },
    "lfm2": {
        "rope_theta": 1000000.0,
    },
    "lfm2_moe": {
        "norm_topk_prob": True, "rope_theta": 1000000.0,
    },
    "llama": {
        "hidden_size": 4096, "intermediate_size": 11008, "max_position_embeddings": 2048,
        "num_attention_heads": 32, "num_hidden_layers": 32, "rms_norm_eps": 1e-06,
        "vocab_size": 32000, "rope_theta": 10000.0,
    },
    "minimax_m2": {
        "rope_theta": 5000000.0,
    },
    "ministral3": {
        "head_dim": 128, "hidden_size": 4096, "intermediate_size": 14336,
        "max_position_embeddings": 262144, "num_attention_heads": 32, "num_hidden_layers": 34,
        "num_key_value_heads": 8, "rms_norm_eps": 1e-05, "vocab_size": 131072,
        "rope_theta": 10000.0,
    },
    "mistral": {
        "hidden_size": 4096, "intermediate_size": 14336, "max_position_embeddings": 131072,
        "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 8,
        "rms_norm_eps": 1e-06, "sliding_window": 4096, "vocab_size": 32000, "rope_theta": 10000.0,
    },
    "mixtral": {
        "hidden_size": 4096, "intermediate_size": 14336, "max_position_embeddings": 131072,
        "num_attention_heads": 32, "num_experts_per_tok": 2, "num_hidden_layers": 32,
        "num_key_value_heads": 8, "rms_norm_eps": 1e-05, "vocab_size": 32000,
        "rope_theta": 1000000.0,
    },
    "modernbert": {
        "global_rope_theta": 160000.0, "local_rope_theta": 10000.0,
    },
    "nemotron": {
        "hidden_size": 6144, "intermediate_size": 24576, "max_position_embeddings": 4096,
        "norm_eps": 1e-05, "num_attention_heads": 48, "num_hidden_layers": 32, "vocab_size": 256000,
        "rope_theta": 10000.0,
    },
    "nemotron_h": {
        "norm_topk_prob": True,
    },
    "nomic_bert": {
        "rotary_emb_base": 1000.0,
    },
    "olmo": {
        "hidden_size": 4096, "intermediate_size": 11008, "max_position_embeddings": 2048,
        "num_attention_heads": 32, "num_hidden_layers": 32, "vocab_size": 50304,
        "rope_theta": 10000.0,
    },
    "olmo2": {
        "hidden_size": 4096, "intermediate_size": 11008, "max_position_embeddings": 2048,
        "num_attention_heads": 32, "num_hidden_layers": 32, "rms_norm_eps": 1e-05,
        "vocab_size": 50304, "rope_theta": 10000.0,
    },
    "olmo3": {
        "hidden_size": 4096, "intermediate_size": 11008, "max_position_embeddings": 2048,
        "num_attention_heads": 32, "num_hidden_layers": 32, "rms_norm_eps": 1e-05,
        "sliding_window": 4096, "vocab_size": 50304, "rope_theta": 500000.0,
    },
    "olmoe": {
        "hidden_size": 2048, "intermediate_size": 2048, "max_position_embeddings": 4096,
        "num_attention_heads": 16, "num_experts_per_tok": 8, "num_hidden_layers": 16,
        "rms_norm_eps": 1e-05, "vocab_size": 50304, "rope_theta": 10000.0,
    },
    "phi": {
        "hidden_size": 2048, "intermediate_size": 8192, "layer_norm_eps": 1e-05,
        "max_position_embeddings": 2048, "num_attention_heads": 32, "num_hidden_layers": 24,
        "vocab_size": 51200, "rope_theta": 10000.0,
    },
    "phi3": {
        "hidden_size": 3072, "intermediate_size": 8192, "max_position_embeddings": 4096,
        "num_attention_heads": 32, "num_hidden_layers": 32,
        "original_max_position_embeddings": 4096, "rms_norm_eps": 1e-05, "vocab_size": 32064,
        "rope_theta": 10000.0,
    },
    "phimoe": {
        "hidden_size": 4096, "input_jitter_noise": 0.0, "intermediate_size": 6400,
        "max_position_embeddings": 131072, "num_attention_heads": 32, "num_experts_per_tok": 2,
        "num_hidden_layers": 32, "num_key_value_heads": 8, "num_local_experts": 16,
        "rms_norm_eps": 1e-05, "vocab_size": 32064, "rope_theta": 1000000.0,
    },
    "qwen2": {
        "hidden_size": 4096, "intermediate_size": 22016, "max_position_embeddings": 32768,
        "max_window_layers": 28, "num_attention_heads": 32, "num_hidden_layers": 32,
        "num_key_value_heads": 32, "rms_norm_eps": 1e-06, "sliding_window": 4096,
        "vocab_size": 151936, "rope_theta": 10000.0,
    },
    "qwen2_5_vl_text": {
        "hidden_size": 8192, "intermediate_size": 29568, "max_position_embeddings": 32768,
        "max_window_layers": 80, "num_attention_heads": 64, "num_hidden_layers": 80,
        "num_key_value_heads": 8, "rms_norm_eps": 1e-05, "sliding_window": 4096,
        "vocab_size": 152064, "rope_theta": 1000000.0,
    },
    "qwen2_moe": {
        "decoder_sparse_step": 1, "hidden_size": 2048, "intermediate_size": 5632,
        "max_position_embeddings": 32768, "max_window_layers": 28, "moe_intermediate_size": 1408,
        "num_attention_heads": 16, "num_experts": 60, "num_experts_per_tok": 4,
        "num_hidden_layers": 24, "num_key_value_heads": 16, "rms_norm_eps": 1e-06,
        "shared_expert_intermediate_size": 5632, "sliding_window": 4096, "vocab_size": 151936,
        "rope_theta": 10000.0,
    },
    "qwen2_vl_text": {
        "hidden_size": 8192, "intermediate_size": 29568, "max_position_embeddings": 32768,
        "max_window_layers": 80, "num_attention_heads": 64, "num_hidden_layers": 80,
        "num_key_value_heads": 8, "rms_norm_eps": 1e-05, "sliding_window": 4096,
        "vocab_size": 152064, "rope_theta": 1000000.0,
    },
    "qwen3": {
        "head_dim": 128, "hidden_size": 4096, "intermediate_size": 22016,
        "max_position_embeddings": 32768, "max_window_layers": 28, "num_attention_heads": 32,
        "num_hidden_layers": 32, "num_key_value_heads": 32, "rms_norm_eps": 1e-06,
        "sliding_window": 4096, "vocab_size": 151936, "rope_theta": 10000.0,
    },
    "qwen3_5_moe_text": {
        "head_dim": 256, "hidden_size": 2048, "linear_conv_kernel_dim": 4,
        "linear_key_head_dim": 128, "linear_num_key_heads": 16, "linear_num_value_heads": 32,
        "linear_value_head_dim": 128, "max_position_embeddings": 32768,
        "moe_intermediate_size": 512, "num_attention_heads": 16, "num_experts": 256,
        "num_experts_per_tok": 8, "num_hidden_layers": 40, "num_key_value_heads": 2,
        "rms_norm_eps": 1e-06, "shared_expert_intermediate_size": 512, "vocab_size": 248320,
        "rope_theta": 10000.0,
    },
    "qwen3_5_text": {
        "head_dim": 256, "hidden_size": 4096, "intermediate_size": 12288,
        "linear_conv_kernel_dim": 4, "linear_key_head_dim": 128, "linear_num_key_heads": 16,
        "linear_num_value_heads": 32, "linear_value_head_dim": 128,
        "max_position_embeddings": 32768, "num_attention_heads": 16, "num_hidden_layers": 32,
        "num_key_value_heads": 4, "rms_norm_eps": 1e-06, "vocab_size": 248320,
        "rope_theta": 10000.0,
    },
    "qwen3_moe": {
        "decoder_sparse_step": 1, "hidden_size": 2048, "intermediate_size": 6144,
        "max_position_embeddings": 32768, "moe_intermediate_size": 768, "num_attention_heads": 32,
        "num_experts_per_tok": 8, "num_hidden_layers": 24, "num_key_value_heads": 4,
        "rms_norm_eps": 1e-06, "sliding_window": 4096, "vocab_size": 151936, "rope_theta": 10000.0,
        "norm_topk_prob": False,
    },
    "qwen3_next": {
        "norm_topk_prob": True,
    },
    "qwen3_vl_moe_text": {
        "decoder_sparse_step": 1, "hidden_size": 2048, "intermediate_size": 5632,
        "max_position_embeddings": 128000, "moe_intermediate_size": 1408, "num_attention_heads": 16,
        "num_experts_per_tok": 4, "num_hidden_layers": 24, "num_key_value_heads": 16,
        "rms_norm_eps": 1e-06, "vocab_size": 151936, "rope_theta": 500000.0,
    },
    "qwen3_vl_text": {
        "head_dim": 128, "hidden_size": 4096, "intermediate_size": 22016,
        "max_position_embeddings": 128000, "num_attention_heads": 32, "num_hidden_layers": 32,
        "num_key_value_heads": 32, "rms_norm_eps": 1e-06, "vocab_size": 151936,
        "rope_theta": 500000.0,
    },
    "seed_oss": {
        "head_dim": 128, "hidden_size": 4096, "intermediate_size": 27648,
        "max_position_embeddings": 524288, "num_attention_heads": 80, "num_hidden_layers": 64,
        "num_key_value_heads": 8, "rms_norm_eps": 1e-06, "vocab_size": 155136,
        "rope_theta": 10000.0,
    },
    "smollm3": {
        "hidden_size": 2048, "intermediate_size": 11008, "max_position_embeddings": 32768,
        "no_rope_layer_interval": 4, "num_attention_heads": 16, "num_hidden_layers": 36,
        "num_key_value_heads": 4, "rms_norm_eps": 1e-06, "vocab_size": 128256,
        "rope_theta": 2000000.0,
    },
    "stablelm": {
        "hidden_size": 2560, "intermediate_size": 6912, "layer_norm_eps": 1e-05,
        "max_position_embeddings": 4096, "num_attention_heads": 32, "num_hidden_layers": 32,
        "num_key_value_heads": 32, "vocab_size": 50304, "rope_theta": 10000.0,
    },
    "starcoder2": {
        "hidden_size": 3072, "intermediate_size": 12288, "max_position_embeddings": 4096,
        "norm_epsilon": 1e-05, "num_attention_heads": 24, "num_hidden_layers": 30,
        "num_key_value_heads": 2, "vocab_size": 49152, "rope_theta": 10000.0,
    },
}
# fmt: on
