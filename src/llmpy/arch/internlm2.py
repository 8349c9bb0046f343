"""InternLM 2: Llama's wiring; its checkpoints have one matrix for queries, keys and values.

x -> norm -> attention -> + -> norm -> swiglu -> + -> ... -> norm -> logits
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmpy.arch.base import architecture, key
from llmpy.arch.blocks import swiglu
from llmpy.arch.checkpoint import Checkpoint, Config, Tensor, paired, usual
from llmpy.arch.rotary import Rotary
from llmpy.graph import Value, Weights


def tensors(config: Config) -> list[Tensor]:
    """Return the tensor rules of a checkpoint, whose rotated pairs are halves of a head."""
    n_head = config["num_attention_heads"]
    n_kv = config.get("num_key_value_heads") or n_head

    def apart(w: NDArray[Any]) -> Sequence[NDArray[Any]]:
        """Each group has the queries that share a key, then the key, then the value."""
        groups = w.reshape(n_kv, n_head // n_kv + 2, -1, *w.shape[1:])
        q, k, v = np.split(groups, [n_head // n_kv, n_head // n_kv + 1], axis=1)
        q, k, v = (part.reshape(-1, *w.shape[1:]) for part in (q, k, v))
        return paired(q, n_head), paired(k, n_kv), v

    at, to = "model.layers.{i}.", "blk.{i}."
    return [
        Tensor("model.tok_embeddings", "token_embd"),
        Tensor("model.norm", "output_norm"),
        Tensor("output", "output"),
        Tensor(at + "attention.wqkv", (to + "attn_q", to + "attn_k", to + "attn_v"), apart),
        Tensor(at + "attention.wo", to + "attn_output"),
        Tensor(at + "attention_norm", to + "attn_norm"),
        Tensor(at + "ffn_norm", to + "ffn_norm"),
        Tensor(at + "feed_forward.w1", to + "ffn_gate"),
        Tensor(at + "feed_forward.w2", to + "ffn_down"),
        Tensor(at + "feed_forward.w3", to + "ffn_up"),
    ]


@architecture("internlm2")
class InternLM2(Rotary):
    eps: float = key("attention.layer_norm_rms_epsilon")

    checkpoints = (Checkpoint("internlm2", ("internlm2",), usual, tensors),)

    def forward(self, w: Weights, tokens: Value) -> Value:
        x = self.embed(w, tokens)
        for layer in w.blk:
            x = x + self.attention(layer, x.rms_norm(layer.attn_norm, self.eps))
            x = x + swiglu(layer, x.rms_norm(layer.ffn_norm, self.eps))
        return x.rms_norm(w.output_norm, self.eps).linear(w.output)

    def attention(self, w: Weights, x: Value) -> Value:
        """Rotary grouped-query attention."""
        q, k, v = self.qkv(w, x)
        rope = self.rope(neox=False)
        return q.rope(rope).attend(k.rope(rope).cached(), v.cached()).linear(w.attn_output)
