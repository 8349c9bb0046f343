"""A small Llama in PyTorch, and its folder in the form of Hugging Face."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class Shape:
    """The hyperparameters; head_dim is dim / heads."""

    vocab: int = 1024
    dim: int = 256
    layers: int = 5
    heads: int = 4
    hidden: int = 512
    context: int = 512
    theta: float = 10000.0
    eps: float = 1e-5


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return functional.rms_norm(x, (x.shape[-1],), weight.to(x.dtype), eps)


def linear(x: Tensor, layer: nn.Linear) -> Tensor:
    """The layer in the type of x: bfloat16 on processors that have it, weights kept as float32."""
    return functional.linear(x, layer.weight.to(x.dtype))


def attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    """Softmax attention over short sequences: faster on CPUs than the general function."""
    batch, heads, time, size = q.shape
    q, k, v = (x.reshape(batch * heads, time, size) for x in (q, k, v))
    scores = torch.baddbmm(mask, q, k.transpose(1, 2), alpha=size**-0.5)
    return torch.bmm(scores.softmax(-1), v).view(batch, heads, time, size)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions over halves of a head: [batch, heads, time, head_dim]."""
    half = x.shape[-1] // 2
    a, b = x[..., :half], x[..., half:]
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)


class Block(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        d, h = shape.dim, shape.hidden
        self.attention_norm = nn.Parameter(torch.ones(d))
        self.qkv = nn.Linear(d, 3 * d, bias=False)
        self.out = nn.Linear(d, d, bias=False)
        self.hidden_norm = nn.Parameter(torch.ones(d))
        self.gate_up = nn.Linear(d, 2 * h, bias=False)
        self.down = nn.Linear(h, d, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor) -> Tensor:
        s = self.shape
        batch, time, _ = x.shape
        normed = rms_norm(x, self.attention_norm, s.eps)
        qkv = linear(normed, self.qkv).view(batch, time, 3, s.heads, -1).permute(2, 0, 3, 1, 4)
        q, k = rotate(qkv[0], cos, sin), rotate(qkv[1], cos, sin)
        mixed = attention(q, k, qkv[2], mask)
        x = x + linear(mixed.transpose(1, 2).reshape(batch, time, s.dim), self.out)
        gate, up = linear(rms_norm(x, self.hidden_norm, s.eps), self.gate_up).chunk(2, -1)
        return x + linear(functional.silu(gate) * up, self.down)


class Llama(nn.Module):
    """Token ids [batch, time] to logits; the output weights are the embeddings."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.compute = torch.float32  # the type of activations
        self.embedding = nn.Embedding(shape.vocab, shape.dim)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.norm = nn.Parameter(torch.ones(shape.dim))
        half = shape.dim // shape.heads // 2
        angles = torch.outer(
            torch.arange(shape.context).float(), shape.theta ** (-torch.arange(half).float() / half)
        )
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)
        for name, weight in self.named_parameters():
            if weight.dim() == 2:
                deep = name.endswith(("out.weight", "down.weight"))
                nn.init.normal_(weight, std=0.04 / ((2 * shape.layers) ** 0.5 if deep else 1.0))

    def forward(self, ids: Tensor, chosen: Tensor | None = None) -> Tensor:
        """`chosen`: indices into the flattened positions; without it those of all."""
        x = self.embedding(ids).to(self.compute)
        cos, sin = self.cos[: ids.shape[1]], self.sin[: ids.shape[1]]
        cos, sin = cos.to(x.dtype), sin.to(x.dtype)
        mask = torch.full((ids.shape[1], ids.shape[1]), -1e9, dtype=x.dtype, device=x.device).triu(
            1
        )
        for block in self.blocks:
            x = block(x, cos, sin, mask)
        x = x.reshape(-1, self.shape.dim)
        x = x if chosen is None else x[chosen]
        return functional.linear(
            rms_norm(x, self.norm, self.shape.eps), self.embedding.weight.to(x.dtype)
        ).float()

    @torch.no_grad()
    def answer(self, ids: Tensor, end: int, most: int = 64) -> list[list[int]]:
        """Greedy continuations of prompts of one length, each up to `end`."""
        done = torch.zeros(len(ids), dtype=torch.bool, device=ids.device)
        found: list[Tensor] = []
        for _ in range(most):
            last = torch.arange(1, len(ids) + 1, device=ids.device) * ids.shape[1] - 1
            step = self(ids, last).argmax(-1)
            found.append(step)
            done |= step == end
            if bool(done.all()):
                break
            ids = torch.cat((ids, step[:, None]), 1)
        rows = torch.stack(found, 1).tolist()
        return [row[: row.index(end)] if end in row else row for row in rows]

    def config(self, specials: dict[str, int]) -> dict[str, object]:
        """What config.json says."""
        s = self.shape
        return {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "hidden_size": s.dim,
            "intermediate_size": s.hidden,
            "num_hidden_layers": s.layers,
            "num_attention_heads": s.heads,
            "num_key_value_heads": s.heads,
            "head_dim": s.dim // s.heads,
            "vocab_size": s.vocab,
            "max_position_embeddings": s.context,
            "rms_norm_eps": s.eps,
            "rope_theta": s.theta,
            "hidden_act": "silu",
            "tie_word_embeddings": True,
            "attention_bias": False,
            "mlp_bias": False,
            "torch_dtype": "float32",
            "bos_token_id": specials["<s>"],
            "eos_token_id": specials["</s>"],
        }

    def load_folder(self, folder: Path) -> None:
        """Take the weights of a folder that `export` wrote."""
        from safetensors.torch import load_file

        found = load_file(folder / "model.safetensors")
        joined = lambda layer, *names: torch.cat([found[f"{layer}{n}_proj.weight"] for n in names])  # noqa: E731
        state = {
            "embedding.weight": found["model.embed_tokens.weight"],
            "norm": found["model.norm.weight"],
        }
        for i in range(self.shape.layers):
            layer, block = f"model.layers.{i}.", f"blocks.{i}."
            state |= {
                block + "attention_norm": found[layer + "input_layernorm.weight"],
                block + "qkv.weight": joined(layer + "self_attn.", "q", "k", "v"),
                block + "out.weight": found[layer + "self_attn.o_proj.weight"],
                block + "hidden_norm": found[layer + "post_attention_layernorm.weight"],
                block + "gate_up.weight": joined(layer + "mlp.", "gate", "up"),
                block + "down.weight": found[layer + "mlp.down_proj.weight"],
            }
        self.load_state_dict(state)

    def export(self, folder: Path, tokenizer: Path, specials: dict[str, int]) -> None:
        """Write config.json, model.safetensors and the tokenizer as Hugging Face names them."""
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        s = self.shape
        tensors = {
            "model.embed_tokens.weight": self.embedding.weight,
            "model.norm.weight": self.norm,
        }
        for i, block in enumerate(self.blocks):
            q, k, v = block.qkv.weight.chunk(3)
            gate, up = block.gate_up.weight.chunk(2)
            layer = f"model.layers.{i}."
            tensors |= {
                layer + "input_layernorm.weight": block.attention_norm,
                layer + "self_attn.q_proj.weight": q,
                layer + "self_attn.k_proj.weight": k,
                layer + "self_attn.v_proj.weight": v,
                layer + "self_attn.o_proj.weight": block.out.weight,
                layer + "post_attention_layernorm.weight": block.hidden_norm,
                layer + "mlp.gate_proj.weight": gate,
                layer + "mlp.up_proj.weight": up,
                layer + "mlp.down_proj.weight": block.down.weight,
            }
        whole = {n: t.detach().float().cpu().contiguous().clone() for n, t in tensors.items()}
        save_file(whole, folder / "model.safetensors", metadata={"format": "pt"})
        config = self.config(specials)
        (folder / "config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")
        (folder / "tokenizer.json").write_bytes(tokenizer.read_bytes())
        said = {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": "<s>",
            "eos_token": "</s>",
            "pad_token": "<pad>",
            "add_bos_token": True,
            "add_eos_token": False,
            "model_max_length": s.context,
            "clean_up_tokenization_spaces": False,
        }
        (folder / "tokenizer_config.json").write_text(json.dumps(said, indent=1), encoding="utf-8")
