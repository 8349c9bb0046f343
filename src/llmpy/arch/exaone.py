"""EXAONE 3 and 3.5: Llama's wiring, and its factors of the rotation.

x -> norm -> attention -> + -> norm -> swiglu -> + -> ... -> norm -> logits
"""

from __future__ import annotations

from typing import Any

from llmpy.arch.base import architecture, key
from llmpy.arch.blocks import swiglu
from llmpy.arch.checkpoint import Checkpoint, Config, Tensor, usual
from llmpy.arch.rope_config import SCALED, rope_tensors
from llmpy.arch.rotary import Rotary
from llmpy.graph import Value, Weights


def hyperparameters(config: Config) -> dict[str, Any]:
    """Return the metadata of a checkpoint, which has some names of its own."""
    return {
        **usual(config | {"num_hidden_layers": config["num_layers"]}),
        "attention.layer_norm_rms_epsilon": config["layer_norm_epsilon"],
    }


def tensors(_: Config) -> list[Tensor]:
    at, to = "transformer.h.{i}.", "blk.{i}."
    return [
        Tensor("transformer.wte", "token_embd"),
        Tensor("transformer.ln_f", "output_norm"),
        Tensor("lm_head", "output"),
        Tensor(at + "ln_1", to + "attn_norm"),
        Tensor(at + "attn.attention.q_proj", to + "attn_q"),
        Tensor(at + "attn.attention.k_proj", to + "attn_k"),
        Tensor(at + "attn.attention.v_proj", to + "attn_v"),
        Tensor(at + "attn.attention.out_proj", to + "attn_output"),
        Tensor(at + "attn.attention.rotary.inv_freq", None),
        Tensor(at + "ln_2", to + "ffn_norm"),
        Tensor(at + "mlp.c_fc_0", to + "ffn_gate"),
        Tensor(at + "mlp.c_fc_1", to + "ffn_up"),
        Tensor(at + "mlp.c_proj", to + "ffn_down"),
    ]


@architecture("exaone")
class Exaone(Rotary):
    # llama.cpp's converter of 2026 writes this one alone, which llama.cpp itself does not read.
    layer_norm_eps: float = key("attention.layer_norm_epsilon", default=1e-5)
    eps: float = key("attention.layer_norm_rms_epsilon", default="layer_norm_eps")

    checkpoints = (
        Checkpoint(
            "exaone", ("exaone",), hyperparameters, tensors, rope_tensors, rope_types=SCALED
        ),
    )

    def forward(self, w: Weights, tokens: Value) -> Value:
        x = self.embed(w, tokens)
        for layer in w.blk:
            y = x.rms_norm(layer.attn_norm, self.eps)
            x = x + self.attention(layer, w.rope_freqs, y)
            x = x + swiglu(layer, x.rms_norm(layer.ffn_norm, self.eps))
        return x.rms_norm(w.output_norm, self.eps).linear(w.output or w.token_embd)

    def attention(self, w: Weights, factors: Weights, x: Value) -> Value:
        """Rotary grouped-query attention."""
        q, k, v = self.qkv(w, x)
        rope = self.rope(neox=True)
        q, k = q.rope(rope, factors), k.rope(rope, factors)
        return q.attend(k.cached(), v.cached()).linear(w.attn_output)
