"""Baichuan 1 and 2: Llama's wiring; 7B rotates, 13B has linear biases of attention instead.

x -> norm -> attention -> + -> norm -> swiglu -> + -> ... -> norm -> logits
"""

from __future__ import annotations

from typing import Any

import numpy as np

from llmpy.arch.base import architecture, key
from llmpy.arch.blocks import swiglu
from llmpy.arch.checkpoint import Array, Checkpoint, Config, Tensor, paired, usual, usual_tensors
from llmpy.arch.rotary import Rotary
from llmpy.graph import Value, Weights

ALIBI_LAYERS = 40  # of 13B; no key says which of the two it is
ALIBI = 8.0
SECOND_VOCABULARY = 125_696  # of Baichuan 2, whose output rows are to be of length 1


def hyperparameters(config: Config) -> dict[str, Any]:
    """Return the metadata of a checkpoint; 13B calls its context by another name."""
    n_ctx = config.get("max_position_embeddings") or config["model_max_length"]
    return usual(config | {"max_position_embeddings": n_ctx})


def tensors(config: Config) -> list[Tensor]:
    """Return the tensor rules of a checkpoint, which has queries, keys and values in one matrix,
    and pairs as halves.
    """
    n_head = config["num_attention_heads"]

    def apart(w: Array) -> list[Array]:
        q, k, v = np.split(w, 3)
        return [paired(q, n_head), paired(k, n_head), v]

    def unit(w: Array) -> Array:
        rows: Array = w / np.maximum(np.linalg.norm(w, axis=1, keepdims=True), 1e-12)
        return rows

    at, to = "model.layers.{i}.", "blk.{i}."
    second = config["vocab_size"] == SECOND_VOCABULARY
    return [
        Tensor(at + "self_attn.W_pack.weight", tuple(f"{to}attn_{x}.weight" for x in "qkv"), apart),
        *([Tensor("lm_head", "output", unit)] if second else []),
        *usual_tensors(config),
    ]


@architecture("baichuan")
class Baichuan(Rotary):
    eps: float = key("attention.layer_norm_rms_epsilon")

    checkpoints = (Checkpoint("baichuan", ("baichuan",), hyperparameters, tensors),)

    def forward(self, w: Weights, tokens: Value) -> Value:
        x = self.embed(w, tokens)
        for layer in w.blk:
            x = x + self.attention(layer, x.rms_norm(layer.attn_norm, self.eps))
            x = x + swiglu(layer, x.rms_norm(layer.ffn_norm, self.eps))
        return x.rms_norm(w.output_norm, self.eps).linear(w.output or w.token_embd)

    def attention(self, w: Weights, x: Value) -> Value:
        """Attention that knows positions by rotation, or by linear biases."""
        q, k, v = self.qkv(w, x)
        if self.n_layer == ALIBI_LAYERS:
            return q.attend(k.cached(), v.cached(), alibi=ALIBI).linear(w.attn_output)
        rope = self.rope(neox=False)
        return q.rope(rope).attend(k.rope(rope).cached(), v.cached()).linear(w.attn_output)
