"""One tiny old file of each architecture, with the tensors that its converters wrote."""

from __future__ import annotations

import numpy as np

from tests.format.old_files import Old, Tensor, plain

D, H, N_FF, N_LAYER, N_VOCAB = 64, 4, 128, 2, 300
HEADER = {
    "n_vocab": N_VOCAB,
    "n_ctx": 256,
    "n_embd": D,
    "n_mult": 32,
    "n_head": H,
    "n_head_kv": 1,
    "n_layer": N_LAYER,
    "n_rot": 8,
    "par_res": 1,
    "alibi": 8.0,
    "clamp": 0.0,
    "ftype": 0,
}
_DENSE = ("attention.dense", "mlp.dense_h_to_4h", "mlp.dense_4h_to_h")
SHAPES: dict[str, dict[str, tuple[int, ...]]] = {
    "llama": {
        "tok_embeddings.weight": (N_VOCAB, D),
        "norm.weight": (D,),
        "output.weight": (N_VOCAB, D),
        "layers.%d.attention_norm.weight": (D,),
        "layers.%d.attention.wq.weight": (D, D),
        "layers.%d.attention.wk.weight": (D // 2, D),
        "layers.%d.attention.wv.weight": (D // 2, D),
        "layers.%d.attention.wo.weight": (D, D),
        "layers.%d.ffn_norm.weight": (D,),
        "layers.%d.feed_forward.w1.weight": (N_FF, D),
        "layers.%d.feed_forward.w2.weight": (D, N_FF),
        "layers.%d.feed_forward.w3.weight": (N_FF, D),
    },
    "bloom": {
        "tok_embeddings.weight": (N_VOCAB, D),
        **{f"{n}.{s}": (D,) for n in ("norm", "output_norm") for s in ("weight", "bias")},
        "output.weight": (N_VOCAB, D),
        **{
            f"layers.%d.{n}.{s}": (D,)
            for n in ("attention_norm", "ffn_norm")
            for s in ("weight", "bias")
        },
        "layers.%d.attention.query_key_value.weight": (3 * D, D),
        "layers.%d.attention.query_key_value.bias": (3 * D,),
        "layers.%d.attention.wo.weight": (D, D),
        "layers.%d.attention.wo.bias": (D,),
        "layers.%d.feed_forward.w1.weight": (4 * D, D),
        "layers.%d.feed_forward.w1.bias": (4 * D,),
        "layers.%d.feed_forward.w2.weight": (D, 4 * D),
        "layers.%d.feed_forward.w2.bias": (D,),
    },
    "falcon": {
        "transformer.word_embeddings.weight": (N_VOCAB, D),
        "transformer.ln_f.weight": (D,),
        "transformer.ln_f.bias": (D,),
        "lm_head.weight": (N_VOCAB, D),
        "transformer.h.%d.input_layernorm.weight": (D,),
        "transformer.h.%d.input_layernorm.bias": (D,),
        "transformer.h.%d.self_attention.query_key_value.weight": (D + 2 * D // H, D),
        "transformer.h.%d.self_attention.dense.weight": (D, D),
        "transformer.h.%d.mlp.dense_h_to_4h.weight": (4 * D, D),
        "transformer.h.%d.mlp.dense_4h_to_h.weight": (D, 4 * D),
    },
    "gpt2": {
        "model/wte": (N_VOCAB, D),
        "model/wpe": (256, D),
        "model/ln_f/g": (D,),
        "model/ln_f/b": (D,),
        "model/lm_head": (N_VOCAB, D),
        **{f"model/h%d/{n}/{s}": (D,) for n in ("ln_1", "ln_2") for s in "gb"},
        "model/h%d/attn/c_attn/w": (3 * D, D),
        "model/h%d/attn/c_attn/b": (3 * D,),
        "model/h%d/attn/c_proj/w": (D, D),
        "model/h%d/attn/c_proj/b": (D,),
        "model/h%d/mlp/c_fc/w": (4 * D, D),
        "model/h%d/mlp/c_fc/b": (4 * D,),
        "model/h%d/mlp/c_proj/w": (D, 4 * D),
        "model/h%d/mlp/c_proj/b": (D,),
    },
    "gptj": {
        "transformer.wte.weight": (N_VOCAB, D),
        "transformer.ln_f.weight": (D,),
        "transformer.ln_f.bias": (D,),
        "lm_head.weight": (N_VOCAB, D),
        "lm_head.bias": (N_VOCAB,),
        "transformer.h.%d.ln_1.weight": (D,),
        "transformer.h.%d.ln_1.bias": (D,),
        **{f"transformer.h.%d.attn.{n}_proj.weight": (D, D) for n in ("q", "k", "v", "out")},
        "transformer.h.%d.mlp.fc_in.weight": (4 * D, D),
        "transformer.h.%d.mlp.fc_in.bias": (4 * D,),
        "transformer.h.%d.mlp.fc_out.weight": (D, 4 * D),
        "transformer.h.%d.mlp.fc_out.bias": (D,),
    },
    "gptneox": {
        "gpt_neox.embed_in.weight": (N_VOCAB, D),
        "gpt_neox.final_layer_norm.weight": (D,),
        "gpt_neox.final_layer_norm.bias": (D,),
        "embed_out.weight": (N_VOCAB, D),
        **{
            f"gpt_neox.layers.%d.{n}.{s}": (D,)
            for n in ("input_layernorm", "post_attention_layernorm")
            for s in ("weight", "bias")
        },
        "gpt_neox.layers.%d.attention.query_key_value.weight": (3 * D, D),
        "gpt_neox.layers.%d.attention.query_key_value.bias": (3 * D,),
        **{
            f"gpt_neox.layers.%d.{n}.weight": s
            for n, s in zip(_DENSE, ((D, D), (4 * D, D), (D, 4 * D)), strict=True)
        },
        **{
            f"gpt_neox.layers.%d.{n}.bias": s
            for n, s in zip(_DENSE, ((D,), (4 * D,), (D,)), strict=True)
        },
    },
    "mpt": {
        "transformer.wte.weight": (N_VOCAB, D),
        "transformer.norm_f.weight": (D,),
        "transformer.blocks.%d.norm_1.weight": (D,),
        "transformer.blocks.%d.norm_2.weight": (D,),
        "transformer.blocks.%d.attn.Wqkv.weight": (3 * D, D),
        "transformer.blocks.%d.attn.out_proj.weight": (D, D),
        "transformer.blocks.%d.ffn.up_proj.weight": (4 * D, D),
        "transformer.blocks.%d.ffn.down_proj.weight": (D, 4 * D),
    },
}
ARCHITECTURES = sorted(SHAPES)


def vocabulary(architecture: str) -> list[tuple[bytes, float]]:
    """Llama's: special tokens, bytes, pieces. Others: end-of-text, bytes, some merges."""
    tokens = [bytes([i]) for i in range(256)]
    merged = [bytes([97 + i // 6, 97 + i % 6]) for i in range(36)]
    tokens = [b"", b"", b"", *tokens] if architecture == "llama" else [*END[architecture], *tokens]
    tokens += merged
    tokens += [b""] * (N_VOCAB - len(tokens))
    return [(token, -float(max(0, i - 259))) for i, token in enumerate(tokens)]


END = {name: [b"<|endoftext|>"] for name in ARCHITECTURES}
END["bloom"] = [b"<unk>", b"<s>", b"</s>"]


def tiny(architecture: str, container: str = "GGJT", version: int = 3, kind: str = "F32") -> Old:
    """Weights from PCG64; matrices in `kind`, vectors in F32."""
    rng = np.random.Generator(np.random.PCG64(7))
    tensors: list[Tensor] = []
    for name, shape in SHAPES[architecture].items():
        for block in range(N_LAYER) if "%d" in name else range(1):
            values = rng.standard_normal(shape).astype(np.float32) / 8
            full = name % block if "%d" in name else name
            tensors.append(plain(full, values, kind if len(shape) > 1 else "F32"))
    header = HEADER | {"n_rot": D // H if architecture == "llama" else 8}
    return Old(architecture, header, vocabulary(architecture), tensors, container, version)
