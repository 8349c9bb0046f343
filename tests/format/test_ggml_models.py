"""Old files run: a trained model tells its story, and each architecture agrees with its checkpoint.

The checkpoints of tests/arch agree with the original implementations; here their weights are
written as the converters of 2023 wrote them.
"""

from __future__ import annotations

import numpy as np
import pytest

import llmpy
from llmpy.format import open_gguf
from tests.arch import checkpoints
from tests.arch.steps import load, make_backend
from tests.format.old_files import HEADERS, Old, plain
from tests.format.tiny_old import END

STORIES = "weights/stories260K/stories260K.gguf"
EXPECTED = "weights/stories260K/expected-greedy-200.txt"
LLAMA = {
    "token_embd": "tok_embeddings",
    "output_norm": "norm",
    "output": "output",
    "attn_norm": "attention_norm",
    "attn_q": "attention.wq",
    "attn_k": "attention.wk",
    "attn_v": "attention.wv",
    "attn_output": "attention.wo",
    "ffn_norm": "ffn_norm",
    "ffn_gate": "feed_forward.w1",
    "ffn_down": "feed_forward.w2",
    "ffn_up": "feed_forward.w3",
}


def old_llama(path, container: str, version: int) -> Old:
    """A GGUF Llama in float32 as an old file."""
    with open_gguf(path) as file:
        tensors = []
        for info in file.tensors.values():
            *block, name, suffix = info.name.removeprefix("blk.").split(".")
            prefix = f"layers.{block[0]}." if block else ""
            array = file.data(info.name).view("<f4").reshape(info.shape)
            tensors.append(plain(f"{prefix}{LLAMA[name]}.{suffix}", array))
        header = {
            "n_vocab": 512, "n_embd": 64, "n_mult": 4, "n_head": 8, "n_layer": 5, "n_rot": 8,
            "ftype": 0,
        }  # fmt: skip
        texts = file.get("tokenizer.ggml.tokens", list)
        scores = file.get("tokenizer.ggml.scores", np.ndarray)
        tokens = [
            (bytes([i - 3]) if 3 <= i < 259 else text.replace("\u2581", " ").encode(), float(score))
            for i, (text, score) in enumerate(zip(texts, scores, strict=True))
        ]
    return Old("llama", header, tokens, tensors, container, version)


@pytest.mark.parametrize(("container", "version"), [("GGML", 0), ("GGMF", 1), ("GGJT", 3)])
@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_the_trained_model_tells_its_story(shared_data, tmp_path, container, version, backend):
    old = old_llama(shared_data(STORIES), container, version)
    path = old.write(tmp_path / "old.bin")
    with llmpy.load(path, architecture="llama", backend=backend) as model:
        session = model.session(sampler=llmpy.greedy())
        pieces = list(session.stream("", max_tokens=200))
    expected = shared_data(EXPECTED).read_bytes()
    assert "".join(p.text for p in pieces).encode() == expected


def test_the_converted_model_tells_it_too(shared_data, tmp_path):
    stories = shared_data(STORIES)
    path = old_llama(stories, "GGJT", 3).write(tmp_path / "old.bin")
    new = llmpy.convert(path, tmp_path / "new.gguf", architecture="llama")
    with llmpy.load(new) as model, open_gguf(stories) as original:
        assert model.tensors.keys() == original.tensors.keys()
        session = model.session(sampler=llmpy.greedy())
        pieces = list(session.stream("", max_tokens=200))
    expected = shared_data(EXPECTED).read_bytes()
    assert "".join(p.text for p in pieces).encode() == expected


def by_head_to_rows(array, n_head: int):
    """Fused rows ordered by head, then query, key, value -> queries, keys, values."""
    return array.reshape(n_head, 3, -1).swapaxes(0, 1).reshape(array.shape)


def grouped_to_rows(array, n_head: int, n_kv: int):
    """Falcon 40B's: each group has its queries, a key and a value; old files have all queries,
    then keys, then values."""
    d = array.shape[0] // (n_head + 2 * n_kv)
    groups = array.reshape(n_kv, n_head // n_kv + 2, d, -1)
    parts = [groups[:, :-2], groups[:, -2:-1], groups[:, -1:]]
    return np.concatenate([p.reshape(-1, array.shape[-1]) for p in parts])


def bloom_name(name: str) -> str:
    name = name.removeprefix("transformer.").replace("h.", "layers.", 1)
    for old, new in (
        ("word_embeddings_layernorm", "norm"),
        ("word_embeddings", "tok_embeddings"),
        ("ln_f", "output_norm"),
        ("input_layernorm", "attention_norm"),
        ("self_attention.query_key_value", "attention.query_key_value"),
        ("self_attention.dense", "attention.wo"),
        ("post_attention_layernorm", "ffn_norm"),
        ("mlp.dense_h_to_4h", "feed_forward.w1"),
        ("mlp.dense_4h_to_h", "feed_forward.w2"),
    ):
        name = name.replace(old, new)
    return name


def gpt2_name(name: str) -> str:
    name = name.removeprefix("transformer.")
    for old, new in ((".weight", "/w"), (".bias", "/b"), ("h.", "h"), (".", "/")):
        name = name.replace(old, new)
    if "ln_" in name:
        name = name.replace("/w", "/g")
    elif name in ("wte/w", "wpe/w", "lm_head/w"):
        name = name[:-2]
    return f"model/{name}"


def as_of_2023(architecture: str, config, weights) -> dict:
    """The tensors of a checkpoint under the names and in the layouts of that time's converters."""
    out = {}
    for name, array in weights.items():
        if architecture == "gpt2":
            linear = "c_" in name and array.ndim == 2
            out[gpt2_name(name)] = array.T if linear else array
        elif architecture == "bloom":
            if "query_key_value" in name:
                array = by_head_to_rows(array, config["n_head"])
            out[bloom_name(name)] = array
        elif architecture == "falcon" and config.get("new_decoder_architecture"):
            if "query_key_value" in name:
                kv = config["num_kv_heads"]
                array = grouped_to_rows(array, config["num_attention_heads"], kv)
            out[name] = array
        else:
            out[name] = array
    tied = {"bloom": ("tok_embeddings.weight", "output.weight")}
    tied["falcon"] = ("transformer.word_embeddings.weight", "lm_head.weight")
    if architecture in tied:
        source, target = tied[architecture]
        out.setdefault(target, out[source])
    return out


def header(config) -> dict[str, float]:
    """Of any of the architectures; each takes what it has."""

    def first(*names, default=0):
        return next((config[n] for n in names if config.get(n) is not None), default)

    n_head = first("num_attention_heads", "n_head", "n_heads")
    n_embd = first("hidden_size", "n_embd", "d_model")
    attention = config.get("attn_config") or {}
    rotary = (config.get("rope_parameters") or {}).get("partial_rotary_factor", 0.25)
    rotary = first("rotary_pct", default=rotary)
    return {
        "n_vocab": config["vocab_size"],
        "n_ctx": first("max_position_embeddings", "n_positions", "max_seq_len"),
        "n_embd": n_embd,
        "n_mult": 1,
        "n_head": n_head,
        "n_head_kv": first("num_kv_heads", default=1)
        if config.get("new_decoder_architecture")
        else 1,
        "n_layer": first("num_hidden_layers", "n_layer", "n_layers"),
        "n_rot": first("rotary_dim", default=int(rotary * n_embd / n_head)),
        "par_res": int(first("use_parallel_residual", default=True)),
        "alibi": float(attention.get("alibi_bias_max", 8)),
        "clamp": float(attention.get("clip_qkv") or 0),
        "ftype": 0,
    }


NAMES = {
    "bloom": "bloom", "falcon": "falcon", "falcon-40b": "falcon", "gpt2": "gpt2", "gptj": "gptj",
    "gptneox": "gptneox", "gptneox-serial": "gptneox", "mpt": "mpt",
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_an_old_file_gives_the_logits_of_its_checkpoint(tmp_path, name):
    architecture = NAMES[name]
    golden, spec = checkpoints.load_golden(name), checkpoints.spec(name)
    config, weights = golden.about["config"], golden.weights(spec)
    if architecture == "gptneox":
        config = {**config, "hidden_act": "gelu"}  # old files do not say it
    folder = checkpoints.write(tmp_path / "checkpoint", config, weights, spec.relative)
    tensors = [plain(n, a) for n, a in as_of_2023(architecture, config, weights).items()]
    tokens = [*END[architecture], *(bytes([i]) for i in range(256))]
    tokens += [b""] * (config["vocab_size"] - len(tokens))
    keys = {k: v for k, v in header(config).items() if k in HEADERS[architecture].split()}
    old = Old(architecture, keys, [(t, 0.0) for t in tokens], tensors, "GGML", 0)
    path = old.write(tmp_path / "old.bin")
    read = list(checkpoints.prompt(config["vocab_size"]))
    expected = load(folder, make_backend("reference")).whole(read)
    found = load(path, make_backend("reference"), architecture=architecture).whole(read)
    np.testing.assert_array_equal(found, expected)
