"""Mixtures of experts: their hyperparameters, their wiring, and how checkpoints name them.

Architectures with experts inherit `Experts`; its defaults are those of a file that says nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from llmpy.arch.base import key
from llmpy.arch.blocks import gated, swiglu
from llmpy.arch.checkpoint import Array, Config, Tensor
from llmpy.errors import GraphError
from llmpy.graph import Value, Weights

__all__ = [
    "Experts",
    "Predicting",
    "expert_keys",
    "expert_tensors",
    "gate_and_up",
    "numbered_experts",
    "without_prediction",
]

GATINGS = {1: "softmax", 2: "sigmoid", 3: "softmax"}  # expert_gating_func; 3 is always normalized

MOST_PREDICTING = 16  # layers of a checkpoint


class Experts:
    """Feed-forward blocks with a router, some of them with experts that every token uses too."""

    n_expert: int = key("expert_count")
    n_used: int = key("expert_used_count")
    n_shared: int = key("expert_shared_count", default=0, least=0)
    gating: int = key("expert_gating_func", default=0, least=0)
    normalize: bool = key("expert_weights_norm", default=False)
    factor: float = key("expert_weights_scale", default=1.0)
    n_group: int = key("expert_group_count", default=1, least=0)
    n_group_used: int = key("expert_group_used_count", default=1, least=0)

    def feed_forward(self, w: Weights, x: Value) -> Value:
        """Routed experts plus shared ones; a block without a router is plain SwiGLU."""
        if not w.ffn_gate_inp:
            return swiglu(w, x)
        y = self.routed(w, x)
        if not (self.n_shared or w.ffn_up_shexp):
            return y
        shared = gated(x, w.ffn_gate_shexp, w.ffn_up_shexp, w.ffn_down_shexp)
        if w.ffn_gate_inp_shexp:
            shared = shared * x.mul(w.ffn_gate_inp_shexp).sum().sigmoid()
        return y + shared

    def routed(self, w: Weights, x: Value, activation: str = "silu") -> Value:
        """The experts that the router chooses, weighted by what it gives them.

        A bias moves the choice only; routers that have one judge by sigmoid if the file does not
        say otherwise.
        """
        n_expert = w.shapes[w.ffn_gate_inp.tensor()][0]
        if n_expert != self.n_expert:
            raise GraphError(f"'{w.ffn_gate_inp.name}.weight' has {n_expert} experts")
        bias = f"{w.exp_probs_b.name}.bias"
        bias = bias if bias in w.shapes else ""
        gating = self.gating or (2 if bias else 1)
        if gating not in GATINGS:
            raise GraphError(f"experts are gated by softmax (1) or sigmoid (2), not {gating}")
        router_weights = x.linear(w.ffn_gate_inp).route(
            self.n_used,
            gating=GATINGS[gating],
            normalize=self.normalize or gating == 3,
            factor=self.factor or 1.0,
            bias=bias,
            groups=(self.n_group or 1, self.n_group_used or 1),
        )
        gate, up, down = w.ffn_gate_exps, w.ffn_up_exps, w.ffn_down_exps
        return x.moe(router_weights, gate, up, down, self.n_used, activation)


class Predicting:
    """The last layers of some files only predict further tokens, and are not run."""

    n_layer: int
    n_predicting: int = key("nextn_predict_layers", default=0, least=0)

    @property
    def n_run(self) -> int:
        """Layers that give the next token."""
        if self.n_predicting >= self.n_layer:
            raise GraphError(f"{self.n_predicting} of {self.n_layer} layers are not to be run")
        return self.n_layer - self.n_predicting

    @property
    def harmless(self) -> tuple[str, ...]:
        """The tensors of the others."""
        return tuple(f"blk.{i}.*" for i in range(self.n_run, self.n_layer))


def expert_keys(config: Config) -> dict[str, Any]:
    """Metadata of experts, from the names that most configurations use."""

    def first(*names: str) -> Any:
        return next((config[n] for n in names if config.get(n) is not None), None)

    return {
        "expert_count": first("num_local_experts", "num_experts", "n_routed_experts"),
        "expert_used_count": config.get("num_experts_per_tok"),
        "expert_shared_count": config.get("n_shared_experts"),
        "expert_feed_forward_length": config.get("moe_intermediate_size"),
        "expert_weights_norm": config.get("norm_topk_prob"),
        "expert_weights_scale": config.get("routed_scaling_factor"),
        "expert_group_count": config.get("n_group"),
        "expert_group_used_count": config.get("topk_group"),
        "leading_dense_block_count": config.get("first_k_dense_replace"),
    }


def expert_tensors() -> list[Tensor]:
    """The router, and the experts: routed (each a tensor, or all in one) and shared."""
    at, to = "model.layers.{i}.mlp.", "blk.{i}.ffn_"
    kinds = {"experts.{e}.": "_exps", "shared_expert.": "_shexp", "shared_experts.": "_shexp"}
    kinds |= {"shared_mlp.": "_shexp"}
    return [
        Tensor(at + "gate", to + "gate_inp"),
        Tensor(at + "gate.e_score_correction_bias", "blk.{i}.exp_probs_b.bias"),
        *(
            Tensor(f"{at}{kind}{part}_proj", f"{to}{part}{end}")
            for kind, end in kinds.items()
            for part in ("gate", "up", "down")
        ),
        Tensor(
            at + "experts.gate_up_proj",
            (to + "gate_exps.weight", to + "up_exps.weight"),
            gate_and_up,
        ),
        Tensor(at + "experts.down_proj", to + "down_exps.weight"),
    ]


def numbered_experts(at: str) -> list[Tensor]:
    """Router and routed experts whose matrices are called w1 (gate), w2 (down) and w3 (up)."""
    to = "blk.{i}.ffn_"
    return [
        Tensor(at + "gate", to + "gate_inp"),
        Tensor(at + "e_score_correction_bias", "blk.{i}.exp_probs_b.bias"),
        Tensor(at + "experts.{e}.w1", to + "gate_exps"),
        Tensor(at + "experts.{e}.w2", to + "down_exps"),
        Tensor(at + "experts.{e}.w3", to + "up_exps"),
    ]


def gate_and_up(w: Array) -> list[Array]:
    """[..., 2 n_ff, n_embd] into its halves."""
    return np.split(w, 2, axis=-2)


def without_prediction(rules: list[Tensor], config: Config) -> list[Tensor]:
    """The same rules, after some that leave out the layers which only predict further tokens."""
    n, at = config["num_hidden_layers"], "model.layers.{i}."
    parts = ("eh_proj", "enorm", "hnorm", "embed_tokens", "shared_head.norm", "shared_head.head")
    names = [r.source for r in rules if isinstance(r.source, str)] + [at + part for part in parts]
    extra = range(n, n + min(config.get("num_nextn_predict_layers") or 0, MOST_PREDICTING))
    left = [name.replace("{i}", str(i)) for i in extra for name in names if "{i}" in name]
    return [*(Tensor(name, None) for name in left), *rules]
