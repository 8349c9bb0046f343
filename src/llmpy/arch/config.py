"""config.json of a checkpoint, and an account of its keys: read, harmless, or unaccounted for.

A key that no recipe reads and no list names may change what the model computes. One whose name says
that it does is refused, any other is reported.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from llmpy.errors import UnsupportedModelError

__all__ = [
    "ACTIVATIONS",
    "Config",
    "TrackedConfig",
    "expect",
    "expect_activation",
    "expect_tensors",
    "expected_tensors",
    "unread",
    "with_defaults",
]

Config = dict[str, Any]

# Keys, as patterns, that do not change what the model computes for a text: training, sampling,
# names, tokenizers, parts for pictures and sound, and how other programs run the model. A key
# belongs here only if no configuration class of transformers computes with it.
HARMLESS = (
    # names and versions
    "model_type", "architectures", "_name_or_path", "name_or_path", "transformers_version",
    "auto_map", "custom_pipelines", "task_specific_params", "finetuning_task", "id2label*",
    "label2id", "num_labels", "problem_type", "base_model*", "unsloth*", "license", "language",
    "transformers.js_config", "_commit_hash", "pretraining_tp", "torch_dtype", "dtype",
    "torchscript", "version",
    # how weights are stored, which they show themselves
    "quantization", "quantization_config", "compression_config",
    # training
    "*dropout*", "*_drop", "*pdrop*", "drop_path*", "*initializer*", "init_*", "*_init",
    "*_init_std", "*loss*", "aux_coef", "*gradient_checkpointing*", "*_jitter*", "rescale_*",
    "output_router_logits", "z_loss*", "fp32_residual*", "residual_in_fp32", "seq_aux",
    "label_smoothing", "mask_token_prob", "train_*", "ep_size", "reduce_moe_computation_in_*",
    "expert_capacity*", "initial_context_length",
    # vocabulary and generation
    "*_token_id", "*_token_ids", "*_token_index", "*_token", "tokenizer*", "suppress_tokens",
    "bad_words_ids", "temperature", "top_k", "top_p", "typical_p", "do_sample", "num_beam*",
    "use_xentropy", "num_return_sequences", "repetition_penalty", "length_penalty",
    "diversity_penalty", "no_repeat_ngram_size", "encoder_no_repeat_ngram_size", "early_stopping",
    "max_length", "min_length", "max_new_tokens", "prefix", "remove_invalid_values",
    "exponential_decay_*", "forced_*", "begin_suppress_tokens", "pad_vocab_size_multiple",
    "generation_*",
    # how another program runs it
    "use_cache", "cache_implementation", "return_dict*", "output_attentions",
    "output_hidden_states", "output_past", "output_scores", "*attn_implementation*", "*flash_attn*",
    "use_mem_eff*", "*experts_implementation*", "use_bfloat16", "bf16", "fp16", "fp32",
    "use_kernels", "use_mamba_kernels", "use_mambapy", "reference_compile", "deterministic*",
    "repad_logits_with_grad", "fused_*", "use_fused_*", "pruned_heads", "tf_legacy_loss",
    "use_return_dict", "*_in_fp32", "slow_but_exact", "reorder_and_upcast_attn", "chunk_size",
    "mamba_chunk_size", "chunk_size_feed_forward", "num_logits_to_keep", "use_associative_scan",
    "mamba_ssm_cache_dtype", "moe_shared_expert_overlap", "attn_impl", "bias_dropout_fusion",
    "masked_softmax_fusion", "skip_bias_add*", "pre_seq_len", "max_model_len", "max_batch_size",
    "inference_runner", "pad_key_length", "pre_allocate_kv_cache", "validate_runner_input",
    "verbose", "attn_mode", "fuse_*", "router_dtype", "mamba_ssm_dtype", "interpolate_factor",
    "is_llama_config", "_from_*",
    # heads for other tasks, and blocks that predict further tokens
    "classifier_*", "pooler_*", "directionality", "summary_*", "sparse_pred*", "mtp_*", "*nextn*",
    "use_mtp", "num_mtp_modules", "emb_pooler", "pool_type", "add_classification_head", "class_num",
    "predict_special_tokens",
    # what the tensors say themselves: which blocks have experts, and sizes of their parts
    "max_window_layers", "mlp_only_layers", "decoder_sparse_step", "mlp_layer_types",
    "moe_layer_end_index", "enable_moe_block", "expand", "mamba_expand", "mamba_d_head",
    "vocab_size_per_layer_input",
    # text has the same position in all sections of the rotation
    "mrope_interleaved",
    # other parts of multimodal models
    "vision_config", "audio_config", "speech_config", "projector_config", "vision_*", "video_*",
    "image_*", "audio_*", "mm_*", "multimodal_*", "projector_*", "text_config",
)  # fmt: skip

# Names of keys that say that they change what is computed.
_COMPUTES = re.compile(
    r"act(_|$|ivat)|bias|norm|(?<!au)rop(e|ed)(_|$|\.)|rotar|rope_|scal|multiplier|divisor|attn|"
    r"attention|head|window|sliding|layer|moe|expert|router|topk|top_k|softcap|cap(ping)?$|clip|"
    r"clamp|alibi|position|pattern|interleav|parallel|residual|embed|tie_|tying|ssm|mamba|conv|"
    r"lora|latent|mlp|ffn|feed_forward|gate|gating|eps|sink|logit|mscale|quer(y|ies)|causal|"
    r"decoder|recurrent|state_size|factor|theta|mask|quant|hidden|sparse|mtp|nextn|type"
)

_NEUTRAL: dict[str, tuple[Any, ...]] = {  # values with which keys change nothing
    "use_sliding_window": (False,),
    "sliding_window": (0,),
    "add_cross_attention": (False,),
    "is_decoder": (False,),
    "use_bidirectional_attention": (False,),
    "apply_residual_connection_post_layernorm": (False,),
    "attn_output_gate": (True,),
    "causal": (False,),
    "is_encoder_decoder": (False,),
    "prefix_projection": (False,),
    "full_attn_mod": (1,),
    "mamba_use_mlp": (True,),
    "mlp_type": ("default",),
    "moe_layer_freq": (1,),
    "multi_gate": (False,),
    "multi_query": (True,),
    "norm_first": (True,),
    "norm_softmax": (False,),
    "normalization_function": ("rmsnorm",),
    "parallel_block": (False,),
    "parallel_block_tied_norm": (False,),
    "post_layer_norm": (True,),
    "post_norm": (False,),
    "quantization_bit": (0,),
    "rms_norm": (True,),
    "rope_interleaved": (False,),
    "rotary": (True,),
    "rotary_pct": (1.0,),
    "scale_attn_by_inverse_layer_idx": (False,),
    "scale_attn_weights": (True,),
    "tie_encoder_decoder": (False,),
    "uniform_expert_assignment": (False,),
    "use_cla": (False,),
    "use_rms_norm": (False,),
    "use_rmsnorm": (True,),
    "use_rotary_pos_emb": (True,),
}

# Keys that say whether a checkpoint has certain tensors, as patterns of their names.
_QKV = r"\.(([qkv]|qkv|W_pack|Wqkv|c_attn|wqkv)(_proj)?|query_key_value|query|key|value)\.bias"
_ATTENTION = _QKV + r"|(attn|attention|self)\.(o_proj|dense|out_proj|c_proj|wo)\.bias"
_MLP = r"(mlp|feed_forward|experts|shared_expert)\.(gate|up|down|gate_up)_proj\.bias"
_QK_NORM = r"\.(q|k|query|key)_?(layer)?_?(norm|ln)"
_PRESENT = {
    "add_bias_linear": r"\.(dense\w*)\.bias",
    "add_qkv_bias": _QKV,
    "attention_bias": _ATTENTION,
    "bias": r"(_proj|wqkv|wo|w[123])\.bias",
    "attention_out_bias": r"\.o_proj\.bias",
    "conv_bias": r"conv\.(conv|in_proj|out_proj)\.bias",
    "lm_head_bias": r"lm_head\.bias",
    "mamba_conv_bias": r"conv1d\.bias",
    "mamba_proj_bias": r"(mamba|mixer)\.(in|out)_proj\.bias",
    "mlp_bias": _MLP,
    "mlp_fc1_bias": r"\.fc1[12]?\.bias",
    "mlp_fc2_bias": r"\.fc2\.bias",
    "moe_router_enable_expert_bias": r"expert_bias",
    "projectors_bias": r"(mamba|self_attn)\.(in|out|o)_proj\.bias",
    "qk_layernorm": _QK_NORM,
    "qk_ln": _QK_NORM,
    "qk_norm": _QK_NORM,
    "qkv_bias": _QKV,
    "qkv_proj_bias": _QKV,
    "use_bias": r"(?<!dt)_proj\.bias|c_fc\.bias",
    "use_conv_bias": r"conv1d\.bias",
    "use_expert_bias": r"expert_bias",
    "use_routing_bias": r"e_score_correction_bias",
    "use_qk_norm": _QK_NORM,
    "use_qkv_bias": _QKV,
}

ACTIVATIONS = {  # other names of the same function
    "swish": "silu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_pytorch_tanh",
    "gelu_fast": "gelu_pytorch_tanh",
    "gelu_python_tanh": "gelu_pytorch_tanh",
    "gelu_accurate": "gelu_pytorch_tanh",
}
_ACTIVATION_KEYS = (
    "hidden_act", "hidden_activation", "activation_function", "mlp_hidden_act", "activation",
)  # fmt: skip


class TrackedConfig(dict[str, Any]):
    """A configuration that records which of its keys are read.

    Values that are mappings are tracked too, their keys recorded as "outer.inner". `config | {...}`
    gives a copy with other values that records in the same place; any other copy records nothing.
    """

    def __init__(
        self, values: Mapping[str, Any], read: set[str] | None = None, prefix: str = ""
    ) -> None:
        self.read: set[str] = set() if read is None else read
        self.prefix = prefix
        super().__init__({k: self._wrapped(k, v) for k, v in values.items()})

    def _wrapped(self, key: str, value: Any) -> Any:
        if isinstance(value, dict) and not isinstance(value, TrackedConfig):
            return TrackedConfig(value, self.read, f"{self.prefix}{key}.")
        return value

    def __getitem__(self, key: str) -> Any:
        self.read.add(self.prefix + key)
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of `key`, or `default`; either way it counts as read."""
        self.read.add(self.prefix + key)
        return super().get(key, default)

    def __or__(self, other: Mapping[str, Any]) -> TrackedConfig:  # type: ignore[override]
        return TrackedConfig(dict(self.items()) | dict(other), self.read, self.prefix)


def unread(config: TrackedConfig, harmless: Sequence[str]) -> list[str]:
    """Return the keys of `config` that were not read and are not known to be harmless.

    `harmless` are patterns of names beside those of `HARMLESS`. A null says nothing. Raises
    UnsupportedModelError for a key whose name says that it changes the computation, unless its
    value is false, zero or empty, which usually turns it off; those are returned.
    """
    patterns = (*HARMLESS, *harmless)
    found = []
    for key, value in _left(config):
        last = key.rpartition(".")[2]
        if value is None or any(fnmatchcase(k, p) for k in (key, last) for p in patterns):
            continue
        if any(type(value) is type(v) and value == v for v in _NEUTRAL.get(last, ())):
            continue
        if key == "layer_types" and set(value) <= {"full_attention"}:
            continue
        if value and _COMPUTES.search(key.lower()):
            raise UnsupportedModelError(
                None, f"config.json '{key}'", "no such key, which llmpy does not use here",
                repr(value)[:80], hint="Without it the model may compute something else",
            )  # fmt: skip
        found.append(key)
    return found


def _left(config: TrackedConfig) -> Iterable[tuple[str, Any]]:
    for key, value in config.items():
        name = config.prefix + key
        if name not in config.read:
            yield name, value
        elif isinstance(value, TrackedConfig) and value.prefix == f"{name}.":
            yield from _left(value)


def expected_tensors(config: TrackedConfig, harmless: Sequence[str]) -> dict[str, bool]:
    """Return the keys that say whether a checkpoint has certain tensors, for `expect_tensors`.

    Without those that the recipe itself read and those that are `harmless`.
    """
    expected = {}
    for key, value in list(_left(config)):
        if key.rpartition(".")[2] in _PRESENT and value is not None:
            config.read.add(key)
            expect({key: value}, key, True, False)
            if not any(fnmatchcase(key, pattern) for pattern in harmless):
                expected[key] = bool(value)
    return expected


def expect_tensors(expected: Mapping[str, bool], names: Collection[str]) -> None:
    """Refuse a key that says that a checkpoint has tensors which it lacks, or lacks what it has.

    `names` are those of all its tensors.
    """
    for key, value in expected.items():
        pattern = _PRESENT[key.rpartition(".")[2]]
        found = next((name for name in names if re.search(pattern, name)), None)
        layer = pattern.replace("bias", "weight")
        there = layer == pattern or any(re.search(layer, name) for name in names)
        if there and value == (found is None):
            raise UnsupportedModelError(
                None, f"config.json '{key}'", f"{not value}, as the weights have "
                f"{found or 'no such tensors'}", str(value),
            )  # fmt: skip


def expect(config: Config, key: str, *allowed: Any) -> None:
    """Refuse a configuration that says something else, which GGUF could not express."""
    if key in config and config[key] not in allowed:
        expected = " or ".join(map(repr, allowed))
        name = getattr(config, "prefix", "") + key
        raise UnsupportedModelError(None, f"config.json '{name}'", expected, repr(config[key])[:80])


def expect_activation(config: Config, *allowed: str) -> None:
    """Refuse a configuration whose activation is none of those that the architecture has."""
    same = {ACTIVATIONS.get(name, name) for name in allowed}
    for key in _ACTIVATION_KEYS:
        setting = config.get(key)
        if setting is None or (
            isinstance(setting, str) and ACTIVATIONS.get(setting, setting) in same
        ):
            continue
        expect({key: setting}, key, *allowed)


def with_defaults(config: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration with `defaults` for the keys that it leaves out.

    Other keys of the rotation are not filled in where "rope_parameters" has them.
    """
    elsewhere = "rope_parameters" in config
    skipped = {k for k in defaults if elsewhere and k.startswith("rope_") and k != "rope_theta"}
    return {k: v for k, v in defaults.items() if k not in skipped} | dict(config)
