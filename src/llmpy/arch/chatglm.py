"""ChatGLM 2 and 3, GLM 4 (9B): fused matrices with biases, and rotation of half of each head.

x -> norm -> attention -> + -> norm -> swiglu -> + -> ... -> norm -> logits
"""

from __future__ import annotations

from typing import Any

from llmpy.arch.base import architecture, key
from llmpy.arch.blocks import fused_swiglu
from llmpy.arch.checkpoint import Checkpoint, Config, Tensor, expect, usual, usual_tensors
from llmpy.arch.rotary import Rotary
from llmpy.graph import Value, Weights

# the scaling of queries by layers is taken back behind the softmax
OLDER_HARMLESS = ("apply_query_key_layer_scaling", "original_rope", "vocab_size")


def hyperparameters(config: Config) -> dict[str, Any]:
    return usual(config, rotates=0.5)


def tensors(config: Config) -> list[Tensor]:
    return [
        Tensor("model.layers.{i}.mlp.gate_up_proj", "blk.{i}.ffn_up"),
        *usual_tensors(config),
    ]


def older_hyperparameters(config: Config) -> dict[str, Any]:
    """Return the metadata of a checkpoint from before transformers knew it."""
    expect(config, "rmsnorm", True)
    names = {
        "num_hidden_layers": "num_layers",
        "intermediate_size": "ffn_hidden_size",
        "max_position_embeddings": "seq_length",
        "head_dim": "kv_channels",
        "rms_norm_eps": "layernorm_epsilon",
        "vocab_size": "padded_vocab_size",
    }
    renamed = config | {new: config[old] for new, old in names.items()}
    if config.get("multi_query_attention"):
        renamed["num_key_value_heads"] = config["multi_query_group_num"]
    renamed["rope_theta"] = 10_000.0 * config.get("rope_ratio", 1.0)
    return usual(renamed, rotates=0.5)


def older_tensors(_: Config) -> list[Tensor]:
    """Return the tensor rules of a checkpoint from before it was known to transformers."""
    top, at, to = "transformer.", "transformer.encoder.layers.{i}.", "blk.{i}."
    return [
        Tensor(top + "embedding.word_embeddings", "token_embd"),
        Tensor(top + "rotary_pos_emb.inv_freq", None),
        Tensor(top + "encoder.final_layernorm", "output_norm"),
        Tensor(top + "output_layer", "output"),
        Tensor(at + "input_layernorm", to + "attn_norm"),
        Tensor(at + "self_attention.query_key_value", to + "attn_qkv"),
        Tensor(at + "self_attention.dense", to + "attn_output"),
        Tensor(at + "post_attention_layernorm", to + "ffn_norm"),
        Tensor(at + "mlp.dense_h_to_4h", to + "ffn_up"),
        Tensor(at + "mlp.dense_4h_to_h", to + "ffn_down"),
    ]


@architecture("chatglm")
class ChatGLM(Rotary):
    eps: float = key("attention.layer_norm_rms_epsilon")

    checkpoints = (
        Checkpoint("chatglm", ("glm",), hyperparameters, tensors),
        Checkpoint(
            "chatglm", ("chatglm",), older_hyperparameters, older_tensors, harmless=OLDER_HARMLESS
        ),
    )

    def forward(self, w: Weights, tokens: Value) -> Value:
        x = self.embed(w, tokens)
        for layer in w.blk:
            x = x + self.attention(layer, x.rms_norm(layer.attn_norm, self.eps))
            x = x + fused_swiglu(layer, x.rms_norm(layer.ffn_norm, self.eps))
        return x.rms_norm(w.output_norm, self.eps).linear(w.output or w.token_embd)

    def attention(self, w: Weights, x: Value) -> Value:
        """Rotary grouped-query attention."""
        q, k, v = self.qkv(w, x)
        rope = self.rope(neox=False)
        return q.rope(rope).attend(k.rope(rope).cached(), v.cached()).linear(w.attn_output)
