"""Llama: a pre-norm decoder with rotary grouped-query attention and a SwiGLU feed-forward.

Everything that calls itself "llama" in GGUF: Llama 1-3, Mistral, Mixtral, Yi, TinyLlama, SmolLM.
    x -> norm -> attention -> + -> norm -> swiglu -> + -> ... -> norm -> logits
"""

from __future__ import annotations

from typing import Any

import numpy as np

from llmpy.arch.base import architecture, key
from llmpy.arch.blocks import moe, swiglu
from llmpy.arch.checkpoint import Checkpoint, Config, Tensor, usual, usual_tensors
from llmpy.arch.rope_config import SCALED, rope_tensors
from llmpy.arch.rotary import Rotary
from llmpy.errors import GraphError
from llmpy.graph import Value, Weights

MODEL_TYPES = ("llama", "mistral", "mixtral", "internlm3")


def hyperparameters(config: Config) -> dict[str, Any]:
    """Return the metadata of a checkpoint: the window of Mistral, the experts of Mixtral."""
    return {
        **usual(config),
        "attention.sliding_window": config.get("sliding_window"),
        "expert_count": config.get("num_local_experts"),
        "expert_used_count": config.get("num_experts_per_tok"),
    }


def tensors(config: Config) -> list[Tensor]:
    """Return the tensor rules of a checkpoint, whose rotated pairs are halves of a head."""
    at, to = "model.layers.{i}.", "blk.{i}."
    return [
        *usual_tensors(config, pairs=True),
        Tensor(at + "block_sparse_moe.gate", to + "ffn_gate_inp"),
        Tensor(at + "block_sparse_moe.experts.{e}.w1", to + "ffn_gate_exps"),
        Tensor(at + "block_sparse_moe.experts.{e}.w2", to + "ffn_down_exps"),
        Tensor(at + "block_sparse_moe.experts.{e}.w3", to + "ffn_up_exps"),
        Tensor(at + "mlp.gate", to + "ffn_gate_inp"),
        Tensor(
            at + "mlp.experts.gate_up_proj",
            (to + "ffn_gate_exps.weight", to + "ffn_up_exps.weight"),
            lambda w: np.split(w, 2, axis=1),
        ),
        Tensor(at + "mlp.experts.down_proj", to + "ffn_down_exps.weight"),
    ]


@architecture("llama")
class Llama(Rotary):
    window: int = key("attention.sliding_window", default=0, least=0)
    eps: float = key("attention.layer_norm_rms_epsilon")
    n_expert: int = key("expert_count", default=0, least=0)
    n_used: int = key("expert_used_count", default=0, least=0)

    harmless = ("rope_factors_long.weight", "rope_factors_short.weight")
    checkpoints = (
        Checkpoint(
            "llama",
            ("llama", "mistral", "mixtral", "internlm3"),
            hyperparameters,
            tensors,
            rope_tensors,
            rope_types=SCALED,
        ),
    )

    def forward(self, w: Weights, tokens: Value) -> Value:
        x = self.embed(w, tokens)
        factors = self.rope_factors(w, tokens.graph.n_ctx)
        for layer in w.blk:
            x = x + self.attention(layer, factors, x.rms_norm(layer.attn_norm, self.eps))
            x = x + self.feed_forward(layer, x.rms_norm(layer.ffn_norm, self.eps))
        return x.rms_norm(w.output_norm, self.eps).linear(w.output or w.token_embd)

    def attention(self, w: Weights, factors: Weights, x: Value) -> Value:
        """Rotary grouped-query attention."""
        q, k, v = self.qkv(w, x)
        rope = self.rope(neox=False)
        q, k = q.rope(rope, factors), k.rope(rope, factors)
        return q.attend(k.cached(), v.cached(), window=self.window).linear(w.attn_output)

    def feed_forward(self, w: Weights, x: Value) -> Value:
        """SwiGLU, or a mixture of experts (Mixtral)."""
        if not self.n_expert:
            return swiglu(w, x)
        n_expert = w.shapes[w.ffn_gate_inp.tensor()][0]
        if n_expert != self.n_expert:
            raise GraphError(f"'{w.ffn_gate_inp.name}.weight' has {n_expert} experts")
        return moe(w, x, self.n_used)
