"""Gemma 4, its text: wider heads in the layers that see all tokens, perhaps experts beside geglu.

Late layers may read the keys and values of earlier ones, and all may get an embedding of the
token that is theirs alone.
    x -> norm -> attention -> norm -> + -> norm -> geglu -> norm -> + (-> gate -> norm -> +) -> ...
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmpy.arch.base import architecture, key
from llmpy.arch.blocks import geglu
from llmpy.arch.checkpoint import (
    Checkpoint,
    Config,
    Tensor,
    expect,
    usual,
    usual_tensors,
    window_pattern,
)
from llmpy.arch.rope_config import rope_type, sliding_base
from llmpy.errors import GraphError
from llmpy.graph import Rope, Value, Weights


def of_full_layers(config: Config, name: str, older: str) -> Any:
    """Return the hyperparameters of layers with full attention, which override the usual ones."""
    layers = (config.get("per_layer_config") or {}).items()
    full = (c for i, c in layers if config["layer_types"][int(i)] == "full_attention")
    return next((c[name] for c in full if name in c), config.get(older) or config[name])


def hyperparameters(config: Config) -> dict[str, Any]:
    full = config["rope_parameters"]["full_attention"]
    expect({"rope_type": rope_type(full)}, "rope_type", "proportional")
    d_head = of_full_layers(config, "head_dim", "global_head_dim")
    n_kv = of_full_layers(config, "num_key_value_heads", "num_global_key_value_heads")
    slides = [kind == "sliding_attention" for kind in config["layer_types"]]
    n_own = config["num_hidden_layers"] - config["num_kv_shared_layers"]
    wider = 2 if config.get("use_double_wide_mlp") else 1
    n_ff = [config["intermediate_size"] * (1 if i < n_own else wider) for i in range(len(slides))]
    return {
        **usual(config | {"rope_parameters": full}, rotates=1.0),
        **window_pattern(config),
        "feed_forward_length": n_ff if wider > 1 else n_ff[0],
        "attention.head_count_kv": [config["num_key_value_heads"] if s else n_kv for s in slides],
        "attention.key_length": d_head,
        "attention.value_length": d_head,
        "attention.key_length_swa": config["head_dim"],
        "attention.value_length_swa": config["head_dim"],
        "attention.shared_kv_layers": config["num_kv_shared_layers"],
        "expert_count": config.get("num_experts"),
        "expert_used_count": config.get("top_k_experts"),
        "expert_feed_forward_length": config.get("moe_intermediate_size"),
        "embedding_length_per_layer_input": config.get("hidden_size_per_layer_input") or 0,
        "final_logit_softcapping": config.get("final_logit_softcapping") or 0.0,
        "rope.dimension_count": d_head,
        "rope.dimension_count_swa": config["head_dim"],
        "rope.freq_base_swa": sliding_base(config),
    }


def tensors(config: Config) -> list[Tensor]:
    at, to = "model.layers.{i}.", "blk.{i}."
    return [
        Tensor("model.embed_tokens_per_layer", "per_layer_token_embd"),
        Tensor("model.per_layer_model_projection", "per_layer_model_proj"),
        Tensor("model.per_layer_projection_norm", "per_layer_proj_norm"),
        Tensor(at + "post_attention_layernorm", to + "post_attention_norm"),
        Tensor(at + "pre_feedforward_layernorm", to + "ffn_norm"),
        Tensor(at + "post_feedforward_layernorm", to + "post_ffw_norm"),
        Tensor(at + "post_feedforward_layernorm_1", to + "post_ffw_norm_1"),
        Tensor(at + "pre_feedforward_layernorm_2", to + "pre_ffw_norm_2"),
        Tensor(at + "post_feedforward_layernorm_2", to + "post_ffw_norm_2"),
        Tensor(at + "router.proj", to + "ffn_gate_inp"),
        Tensor(at + "router.scale", to + "ffn_gate_inp.scale"),
        Tensor(at + "router.per_expert_scale", to + "ffn_down_exps.scale"),
        Tensor(
            at + "experts.gate_up_proj",
            (to + "ffn_gate_exps.weight", to + "ffn_up_exps.weight"),
            lambda w: np.split(w, 2, axis=1),
        ),
        Tensor(at + "experts.down_proj", to + "ffn_down_exps.weight"),
        Tensor(at + "per_layer_input_gate", to + "inp_gate"),
        Tensor(at + "per_layer_projection", to + "proj"),
        Tensor(at + "post_per_layer_input_norm", to + "post_norm"),
        Tensor(at + "layer_scalar", to + "layer_output_scale.weight"),
        *usual_tensors(config),
    ]


def made(config: Config) -> dict[str, NDArray[np.float32]]:
    """Divisors of the rotation in layers that see all tokens: most pairs do not turn."""
    n = of_full_layers(config, "head_dim", "global_head_dim") // 2
    part = config["rope_parameters"]["full_attention"].get("partial_rotary_factor", 1.0)
    turned = np.arange(n) < int(part * n)
    return {"rope_freqs.weight": np.where(turned, 1.0, 1e30).astype(np.float32)}


@architecture("gemma4")
class Gemma4:
    n_layer: int = key("block_count")
    n_ctx: int = key("context_length")
    n_embd: int = key("embedding_length")
    n_head: int = key("attention.head_count")
    n_kv: tuple[int, ...] = key("attention.head_count_kv")
    d_head: int = key("attention.key_length")
    d_head_sliding: int = key("attention.key_length_swa")
    window: int = key("attention.sliding_window")
    sliding: tuple[bool, ...] = key("attention.sliding_window_pattern")
    n_shared: int = key("attention.shared_kv_layers", default=0, least=0)
    n_extra: int = key("embedding_length_per_layer_input", default=0, least=0)
    n_expert: int = key("expert_count", default=0, least=0)
    n_used: int = key("expert_used_count", default=0, least=0)
    eps: float = key("attention.layer_norm_rms_epsilon")
    logit_cap: float = key("final_logit_softcapping", default=0.0)
    rope_dims: int = key("rope.dimension_count", default="d_head")
    rope_dims_sliding: int = key("rope.dimension_count_swa", default="d_head_sliding")
    rope_base: float = key("rope.freq_base", default=10_000.0, least=1, most=3e38)
    rope_base_sliding: float = key("rope.freq_base_swa", default=10_000.0, least=1, most=3e38)

    # files may have keys and values of layers that read those of earlier ones
    harmless = ("*.attn_k.weight", "*.attn_v.weight", "*.attn_k_norm.weight")
    checkpoints = (
        Checkpoint(
            "gemma4",
            ("gemma4_text",),
            hyperparameters,
            tensors,
            made,
            activation=("gelu_pytorch_tanh",),
            rope_types=("proportional",),
            harmless=("attention_k_eq_v", "per_layer_config.*", "*_sliding_window_pattern"),
        ),
    )

    def forward(self, w: Weights, tokens: Value) -> Value:
        x = tokens.embed(w.token_embd).scale(self.n_embd**0.5)
        extras = self.extras(w, tokens, x) if self.n_extra else None
        remembered: dict[bool, tuple[Value, Value]] = {}
        for i, layer in enumerate(w.blk):
            y = x.rms_norm(layer.attn_norm, self.eps)
            y = self.attention(layer, w.rope_freqs, y, i, remembered)
            x = x + y.rms_norm(layer.post_attention_norm, self.eps)
            y = self.feed_forward(layer, x)
            x = x + y.rms_norm(layer.post_ffw_norm, self.eps)
            if extras:
                y = x.linear(layer.inp_gate).gelu() * extras.slice(i * self.n_extra, self.n_extra)
                x = x + y.linear(layer.proj).rms_norm(layer.post_norm, self.eps)
            if layer.layer_output_scale:  # one number
                x = x.heads(self.n_embd).mul(layer.layer_output_scale).flatten()
        x = x.rms_norm(w.output_norm, self.eps)
        return x.linear(w.output or w.token_embd).softcap(self.logit_cap)

    def feed_forward(self, w: Weights, x: Value) -> Value:
        """GeGLU; plus, of the same input, that of the experts which the router chooses."""
        y = geglu(w, x.rms_norm(w.ffn_norm, self.eps))
        if not self.n_expert:
            return y
        scores = x.rms_norm(None, self.eps).mul(w.ffn_gate_inp, "scale")
        scores = scores.scale(self.n_embd**-0.5).linear(w.ffn_gate_inp)
        if scores.shape != (self.n_expert,):
            raise GraphError(f"'{w.ffn_gate_inp.name}.weight' has {scores.shape[0]} experts")
        router_weights = scores.route(self.n_used).mul(w.ffn_down_exps, "scale")
        matrices = (w.ffn_gate_exps, w.ffn_up_exps, w.ffn_down_exps)
        z = x.rms_norm(w.pre_ffw_norm_2, self.eps)
        z = z.moe(router_weights, *matrices, self.n_used, "gelu")
        y = y.rms_norm(w.post_ffw_norm_1, self.eps)
        return y + z.rms_norm(w.post_ffw_norm_2, self.eps)

    def extras(self, w: Weights, tokens: Value, x: Value) -> Value:
        """Return the additional inputs of all layers, side by side: [T, n_layer * n_extra]."""
        own = tokens.embed(w.per_layer_token_embd).scale(self.n_extra**0.5)
        made = x.linear(w.per_layer_model_proj).scale(self.n_embd**-0.5).heads(self.n_layer)
        made = made.rms_norm(w.per_layer_proj_norm, self.eps)
        return (made.flatten() + own).scale(0.5**0.5)

    def attention(
        self,
        w: Weights,
        factors: Weights,
        x: Value,
        i: int,
        remembered: dict[bool, tuple[Value, Value]],
    ) -> Value:
        """Attention over a window or all tokens; `remembered`: the last such keys and values."""
        slides = self.sliding[i]
        if slides:
            rope, divide = Rope(self.rope_dims_sliding, self.rope_base_sliding, neox=True), None
        else:
            rope, divide = Rope(self.rope_dims, self.rope_base, neox=True), factors
        q, k, v = self.qkv(w, x, i)
        q = q.rms_norm(w.attn_q_norm, self.eps).rope(rope, divide)
        if k is not None and v is not None:
            k = k.rms_norm(w.attn_k_norm, self.eps).rope(rope, divide).cached()
            remembered[slides] = k, v.rms_norm(None, self.eps).cached()
        elif slides not in remembered:
            raise GraphError(f"block {i} has no keys, and no earlier one to take them from")
        y = q.attend(*remembered[slides], scale=1.0, window=self.window if slides else 0)
        return y.linear(w.attn_output)

    def qkv(self, w: Weights, x: Value, i: int) -> tuple[Value, Value | None, Value | None]:
        """Queries, and of a layer with keys of its own these and the values, which may be alike."""
        n_head, n_kv = self.n_head, self.n_kv[i]
        d = self.d_head_sliding if self.sliding[i] else self.d_head
        if w.attn_qkv:
            q, k, v = x.linear(w.attn_qkv).split(n_head * d, n_kv * d, n_kv * d)
            return q.heads(n_head), k.heads(n_kv), v.heads(n_kv)
        q = x.linear(w.attn_q).heads(n_head)
        if i >= self.n_layer - self.n_shared:
            return q, None, None
        k = x.linear(w.attn_k).heads(n_kv)
        return q, k, x.linear(w.attn_v).heads(n_kv) if w.attn_v else k
