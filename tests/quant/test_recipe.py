"""Which tensor gets which type: as the other engine's mixtures of the same names."""

from __future__ import annotations

import json

import pytest

from llmpy.dtypes import BY_NAME
from llmpy.quant.recipe import KINDS, Facts, assign, kept_as_it_is, stored_as
from tests.quant import mixtures
from tools.random_gguf import tensors

GOLDENS = json.loads(mixtures.GOLDENS.read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", GOLDENS)
def test_mixtures_are_those_of_the_ecosystem(case: str) -> None:
    name, kind = case.split()
    s = mixtures.SHAPES[name]
    made = tensors(s, s.n_vocab, BY_NAME["F16"], 0)
    shapes = {name: shape for name, _, shape, _ in made}
    types = {name: str(dtype) for name, dtype, _, _ in made}
    facts = Facts("llama", s.n_layer, s.n_expert, s.n_head // s.n_kv)
    for tensor, dtype in assign(kind, shapes, facts).items():
        types[tensor] = str(stored_as(dtype, shapes[tensor][-1]))
    assert mixtures.digest(types) == GOLDENS[case]


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("blk.0.attn_norm.weight", (64,)),
        ("blk.0.attn_q.bias", (64,)),
        ("blk.0.ffn_gate_inp.weight", (8, 64)),
        ("position_embd.weight", (512, 64)),
        ("blk.0.ssm_conv1d.weight", (64, 4)),
        ("blk.0.time_mix_w1.weight", (64, 64)),
        ("blk.0.time_mix_first.weight", (8, 64)),
        ("blk.0.a.weight", (1, 1, 64)),
    ],
)
def test_small_and_sensitive_tensors_keep_their_type(name: str, shape: tuple[int, ...]) -> None:
    assert kept_as_it_is(name, shape)
    assert assign("Q4_0", {name: shape}, Facts()) == {}


@pytest.mark.parametrize(
    ("wanted", "columns", "found"),
    [
        ("Q4_K", 256, "Q4_K"), ("Q4_K", 96, "Q5_0"), ("Q5_K", 96, "Q5_1"), ("Q6_K", 96, "Q8_0"),
        ("Q2_K", 96, "Q4_0"), ("IQ4_XS", 96, "IQ4_NL"), ("Q6_K", 172, "F16"), ("Q8_0", 172, "F16"),
        ("F32", 7, "F32"),
    ],
)  # fmt: skip
def test_rows_that_are_no_whole_blocks(wanted: str, columns: int, found: str) -> None:
    assert stored_as(BY_NAME[wanted], columns).name == found


def test_the_first_pattern_that_fits_decides() -> None:
    shapes = {"blk.0.attn_q.weight": (64, 256), "blk.0.attn_k.weight": (64, 256)}
    keep = [("*attn_q*", BY_NAME["F16"]), ("*attn_*", BY_NAME["F32"])]
    types = assign("Q4_0", shapes, Facts(), keep)
    assert {name: str(dtype) for name, dtype in types.items()} == {
        "blk.0.attn_q.weight": "F16",
        "blk.0.attn_k.weight": "F32",
    }


@pytest.mark.parametrize("pattern", ["blk.0.*", "*norm*", "*"])
def test_norms_stay_unless_named_exactly(pattern: str) -> None:
    shapes = {"blk.0.attn_q.weight": (64, 256), "blk.0.attn_norm.weight": (256,)}
    wide = assign("Q4_0", shapes, Facts(), [(pattern, BY_NAME["Q8_0"])])
    assert list(wide) == ["blk.0.attn_q.weight"]
    exact = assign("Q4_0", shapes, Facts(), [("blk.0.attn_norm.weight", BY_NAME["Q8_0"])])
    assert str(exact["blk.0.attn_norm.weight"]) == "Q8_0"


@pytest.mark.parametrize("kind", KINDS)
def test_pure_gives_every_matrix_the_main_type(kind: str) -> None:
    shapes = dict.fromkeys(("token_embd.weight", "blk.0.ffn_down.weight"), (256, 256))
    types = assign(kind, shapes, Facts("llama", 1), pure=True)
    assert {str(dtype) for dtype in types.values()} == {KINDS[kind][0]}
