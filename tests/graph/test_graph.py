"""Tracing, accounting for tensors, leaving out unwanted rows, printing."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from llmpy.dtypes import BY_NAME
from llmpy.errors import GraphError
from llmpy.graph import (
    Graph,
    Rope,
    Shape,
    Value,
    Weights,
    finish,
    has_head,
    is_encoder,
    show,
    states,
)
from llmpy.graph.attributes import Attend

SHAPES: dict[str, Shape] = {
    "token_embd.weight": (10, 8),
    "blk.0.attn_q.weight": (8, 8),
    "blk.0.attn_k.weight": (4, 8),
    "blk.0.attn_k.bias": (4,),
    "output.weight": (10, 8),
}
Wire = Callable[[Weights, Value], Value]


def trace(wire: Wire, shapes: Mapping[str, Shape] = SHAPES, n_blocks: int = 1) -> Graph:
    graph = Graph(shapes)
    return finish(graph, wire(Weights(shapes, n_blocks=n_blocks), graph.tokens()))


def attention(w: Weights, x: Value) -> Value:
    """One layer of attention, whose keys serve as values too."""
    q = x.linear(w.attn_q).heads(2)
    k = x.linear(w.attn_k).heads(1).cached()
    return x + q.attend(k, k)


def one_layer(w: Weights, tokens: Value) -> Value:
    return attention(w.blk[0], tokens.embed(w.token_embd)).linear(w.output)


def rows(graph: Graph) -> list[tuple[str, str]]:
    return [(node.op, node.rows) for node in graph.nodes]


# Names


def test_attributes_are_names() -> None:
    w = Weights(SHAPES, n_blocks=1)
    assert w.blk[0].attn_q.name == "blk.0.attn_q"
    assert w.blk[0].attn_q.tensor() == "blk.0.attn_q.weight"


def test_there_are_as_many_blocks_as_said() -> None:
    assert [w.name for w in Weights(SHAPES, n_blocks=3).blk] == ["blk.0", "blk.1", "blk.2"]


def test_a_name_is_true_where_the_file_has_it() -> None:
    w = Weights(SHAPES, n_blocks=1)
    assert w.output
    assert not w.output_norm


def test_a_missing_tensor_is_named() -> None:
    with pytest.raises(GraphError, match=r"'blk\.0\.attn_v\.weight' is missing"):
        trace(lambda w, t: t.embed(w.token_embd).linear(w.blk[0].attn_v))


def test_a_bias_is_read_where_there_is_one() -> None:
    w = Weights(SHAPES, n_blocks=1)
    assert w.blk[0].attn_q.with_bias() == ("blk.0.attn_q.weight",)
    assert w.blk[0].attn_k.with_bias() == ("blk.0.attn_k.weight", "blk.0.attn_k.bias")


# Values


def test_token_ids_are_no_numbers_to_compute_with() -> None:
    graph = Graph(SHAPES)
    tokens = graph.tokens()
    x = tokens.embed(Weights(SHAPES).token_embd)
    with pytest.raises(GraphError, match="embed"):
        tokens.silu()
    with pytest.raises(GraphError, match="embed"):
        x + tokens


def test_only_token_ids_are_embedded() -> None:
    graph, w = Graph(SHAPES), Weights(SHAPES)
    with pytest.raises(GraphError, match="embed"):
        graph.tokens().embed(w.token_embd).embed(w.token_embd)


def test_a_value_has_no_items() -> None:
    graph = Graph(SHAPES)
    with pytest.raises(TypeError, match="not known yet"):
        list(graph.tokens().embed(Weights(SHAPES).token_embd))


def test_only_what_is_cached_can_be_attended() -> None:
    def wire(w: Weights, t: Value) -> Value:
        x = t.embed(w.token_embd).heads(2)
        return x.attend(x, x)

    with pytest.raises(GraphError, match="cached"):
        trace(wire)


def test_scale_is_one_over_the_root_of_the_width_unless_said() -> None:
    graph = Graph(SHAPES)
    x = graph.tokens().embed(Weights(SHAPES).token_embd).heads(2)
    k = x.cached()
    x.attend(k, k)
    x.attend(k, k, scale=0.25, window=3)
    first, second = graph.nodes[-2:]
    assert first.attrs == Attend(0.5, window=0)
    assert second.attrs == Attend(0.25, window=3)


def test_caches_are_numbered_with_their_shapes() -> None:
    graph = trace(one_layer)
    assert [(c.name, c.shape) for c in graph.caches] == [("cache.0", (1, 4))]
    assert graph.nodes[graph.caches[0].node].op == "cached"


# Accounting


def test_an_unread_tensor_is_named_with_its_shape() -> None:
    shapes = {**SHAPES, "blk.0.attn_v.weight": (4, 8)}
    with pytest.raises(GraphError, match=r"'blk\.0\.attn_v\.weight' \(4, 8\).*never reads"):
        trace(one_layer, shapes)


def test_an_unread_bias_is_named() -> None:
    shapes = {**SHAPES, "token_embd.bias": (8,)}
    with pytest.raises(GraphError, match=r"'token_embd\.bias'"):
        trace(one_layer, shapes)


def test_harmless_tensors_may_stay_unread() -> None:
    shapes = {**SHAPES, "blk.0.attn_rot_embd.weight": (4,)}
    graph = Graph(shapes)
    logits = one_layer(Weights(shapes, n_blocks=1), graph.tokens())
    done = finish(graph, logits, ["*.attn_rot_embd.weight"])
    assert "blk.0.attn_rot_embd.weight" not in done.used


def test_a_harmless_pattern_excuses_no_other_tensor() -> None:
    shapes = {**SHAPES, "blk.0.attn_rot_embd.weights": (4,)}
    graph = Graph(shapes)
    logits = one_layer(Weights(shapes, n_blocks=1), graph.tokens())
    with pytest.raises(GraphError, match="attn_rot_embd"):
        finish(graph, logits, ["*.attn_rot_embd.weight"])


def test_used_says_which_operations_read_a_tensor() -> None:
    shapes = {k: v for k, v in SHAPES.items() if k != "output.weight"}

    def tied(w: Weights, tokens: Value) -> Value:
        return attention(w.blk[0], tokens.embed(w.token_embd)).linear(w.token_embd)

    graph = trace(tied, shapes)
    assert graph.used["token_embd.weight"] == {"embed", "linear"}
    assert graph.used["blk.0.attn_k.bias"] == {"linear"}


# Wanted rows


def test_after_the_last_cache_only_output_rows_are_computed() -> None:
    assert rows(trace(one_layer)) == [
        ("tokens", "all"),
        ("embed", "all"),
        ("output_rows", "output"),
        ("linear", "output"),
        ("heads", "output"),
        ("linear", "all"),
        ("heads", "all"),
        ("cached", "all"),
        ("attend", "output"),
        ("add", "output"),
        ("linear", "output"),
    ]


def test_a_value_is_gathered_once() -> None:
    graph = trace(one_layer)
    assert [node.op for node in graph.nodes].count("output_rows") == 1


def test_keys_are_not_gathered_for_attention() -> None:
    graph = trace(one_layer)
    attend = next(node for node in graph.nodes if node.op == "attend")
    assert [graph.nodes[i].op for i in attend.inputs] == ["heads", "cached", "cached"]
    assert attend.attrs.caches == (0, 0)


def test_what_an_earlier_layer_gives_a_later_cache_is_computed_for_all_rows() -> None:
    shapes = SHAPES | {k.replace("blk.0", "blk.1"): v for k, v in SHAPES.items()}

    def wire(w: Weights, tokens: Value) -> Value:
        x = tokens.embed(w.token_embd)
        for layer in w.blk:
            x = attention(layer, x)
        return x.linear(w.output)

    graph = trace(wire, shapes, n_blocks=2)
    assert [node.rows for node in graph.nodes if node.op == "attend"] == ["all", "output"]


def test_without_a_cache_all_is_computed_for_output_rows() -> None:
    shapes = {k: v for k, v in SHAPES.items() if not k.startswith("blk.")}
    graph = trace(lambda w, t: t.embed(w.token_embd).linear(w.output), shapes, n_blocks=0)
    assert rows(graph) == [("tokens", "output"), ("embed", "output"), ("linear", "output")]


def test_every_node_reads_rows_of_its_own_kind() -> None:
    graph = trace(one_layer)
    for node in graph.nodes:
        for i in node.inputs:
            found = graph.nodes[i]
            assert found.rows == node.rows or node.op == "output_rows" or found.op == "cached"


def test_a_cached_value_read_by_anything_but_attention_is_gathered() -> None:
    shapes = SHAPES | {"head.weight": (4, 4)}
    graph = Graph(shapes)
    w = Weights(shapes, n_blocks=1)
    k = graph.tokens().embed(w.token_embd).linear(w.blk[0].attn_k).cached()
    done = finish(graph, k.linear(w.head), ["*"])
    assert rows(done)[-2:] == [("output_rows", "output"), ("linear", "output")]


def test_logits_that_a_session_remembers_are_gathered_too() -> None:
    shapes = {k: v for k, v in SHAPES.items() if not k.startswith("blk.")}

    def wire(w: Weights, tokens: Value) -> Value:
        logits = tokens.embed(w.token_embd).linear(w.output)
        logits.cached()
        return logits

    graph = trace(wire, shapes, n_blocks=0)
    assert graph.nodes[graph.output].rows == "output"
    assert graph.n_vocab == 10


# Printing


def test_a_line_tells_inputs_weights_attributes_and_shape() -> None:
    lines = show(trace(one_layer)).splitlines()
    assert lines[:2] == ["%0 tokens -> [T]", "%1 embed %0 token_embd.weight -> [T, 8]"]
    assert lines[2] == "%2 output_rows %1 -> [R, 8]"
    assert lines[5] == "%5 linear %1 blk.0.attn_k.weight blk.0.attn_k.bias -> [T, 4]"
    assert lines[7] == "%7 cached %6 index=0 -> [T, 1, 4]"
    assert lines[8] == "%8 attend %4 %7 %7 caches=(0,0) scale=0.5 window=0 -> [R, 8]"


def test_types_of_weights_are_told_where_they_are_known() -> None:
    text = show(trace(one_layer), {"output.weight": BY_NAME["Q4_0"]})
    assert text.endswith(" output.weight:Q4_0 -> [R, 10]")


@pytest.mark.parametrize(
    "other",
    [
        Rope(4, 5000.0),
        Rope(2),
        Rope(4, neox=True),
        Rope(4, scaling="linear", factor=2.0),
        Rope(4, scaling="linear", factor=3.0),
        Rope(4, scaling="yarn", factor=2.0, original_context=64),
        Rope(4, scaling="yarn", factor=2.0, original_context=128),
        Rope(4, scaling="yarn", factor=2.0, original_context=128, beta_fast=16.0),
        Rope(4, attention_factor=1.5),
    ],
)
def test_graphs_that_turn_differently_print_differently(other: Rope) -> None:
    def text(rope: Rope) -> str:
        graph = Graph(SHAPES)
        graph.tokens().embed(Weights(SHAPES).token_embd).heads(2).rope(rope)
        return show(graph)

    assert text(other) != text(Rope(4))
    if other.scaling != "none":
        assert text(other) != text(Rope(4, scaling=other.scaling, factor=7.0, original_context=9))


# States


def test_the_states_are_what_the_head_reads() -> None:
    graph = trace(one_layer)
    assert has_head(graph)
    assert graph.n_vocab == 10
    headless = states(graph)
    assert headless.n_vocab == 8
    assert headless.nodes == graph.nodes[:-1]
    assert not has_head(headless)


def test_what_is_done_to_logits_belongs_to_the_head() -> None:
    def capped(w: Weights, tokens: Value) -> Value:
        return one_layer(w, tokens).softcap(30.0)

    assert states(trace(capped)).nodes == states(trace(one_layer)).nodes


def test_who_sees_what_comes_after_is_an_encoder() -> None:
    def encoder(w: Weights, tokens: Value) -> Value:
        x = tokens.embed(w.token_embd)
        k = x.linear(w.blk[0].attn_k).heads(1).cached()
        y = x + x.linear(w.blk[0].attn_q).heads(2).attend(k, k, causal=False)
        return y * y.linear(w.output).linear(w.other)

    graph = trace(encoder, {**SHAPES, "other.weight": (8, 10)})
    assert is_encoder(graph)
    assert not has_head(graph)
    assert not is_encoder(trace(one_layer))
