"""What each kind of node gives."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import llmpy
from llmpy.apps.flow import Allowed, FlowError, Models
from llmpy.apps.flow.cache import Cache
from tests.apps.flow.conftest import Done, made


def of(kind: str, data: dict[str, Any], **options: Any) -> Any:
    """What a node without inputs gives."""
    return Done(made({"x": (kind, data)}), **options)["x"]


def with_list(items: list[Any], kind: str, data: dict[str, Any], port: str = "items") -> Done:
    """A list of numbers or texts that goes into a node."""
    numbers = {f"n{i}": ("number", {"number": x}) for i, x in enumerate(items)}
    given = numbers if items and not isinstance(items[0], str) else {}
    lines = "" if given else "\n".join(items)
    wires = [f"n{i}.value -> l.item {i + 1}" for i in range(len(given))]
    nodes = {**given, "l": ("list", {"lines": lines, "inputs": len(given)}), "x": (kind, data)}
    return Done(made(nodes, *wires, f"l.items -> x.{port}"))


def test_numbers_are_whole_where_they_are() -> None:
    assert (of("number", {"number": 3.0}), of("number", {"number": 2.5})) == (3, 2.5)


def test_lines_are_items_without_those_that_are_empty() -> None:
    assert of("list", {"lines": "a\n\n b \r\nc"}) == ["a", " b ", "c"]


def test_a_file_gives_its_text_and_place(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfh\xc3\xa9")
    found = of("file", {"path": "a.txt"}, allowed=Allowed(tmp_path))
    assert found == {"text": "hé", "file": str((tmp_path / "a.txt").resolve())}


@pytest.mark.parametrize(
    ("kind", "path", "said"),
    [
        ("file", "", "choose a path first"),
        ("file", "no.txt", "no.txt: there is no such file"),
        ("file", "../x.txt", "only files below"),
        ("file", "/etc/passwd", "only files below"),
        ("file", "~/x", "only files below"),
        ("file", "link", "only files below"),
        ("file", "bad.txt", "expected a text in UTF-8"),
        ("file", "a\0b", "no NUL"),
        ("folder", "..", "only files below"),
        ("folder", "bad.txt", "there is no such folder"),
    ],
)
def test_paths_that_cannot_be_read_are_one_line(
    kind: str, path: str, said: str, tmp_path: Path
) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "x.txt").write_text("secret")
    (inside / "bad.txt").write_bytes(b"\xff\xfe\x00")
    (inside / "link").symlink_to(tmp_path / "x.txt")
    with pytest.raises(FlowError) as raised:
        of(kind, {"path": path}, allowed=Allowed(inside))
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("condition", "value", "kept"),
    [
        ("contains", "AN", ["banana", "orange"]), ("does not contain", "an", ["fig"]),
        ("begins with", "b", ["banana"]), ("ends with", "e", ["orange"]),
        ("equals", "FIG", ["fig"]),
        ("is longer than", "3", ["banana", "orange"]), ("is shorter than", "6", ["fig"]),
        ("is not empty", "", ["banana", "fig", "orange"]),
    ],
)  # fmt: skip
def test_filter_keeps_texts(condition: str, value: str, kept: list[str]) -> None:
    data = {"condition": condition, "value": value}
    found = with_list(["banana", "fig", "orange"], "filter", data)["x"]
    assert found["kept"] == kept
    assert sorted(found["kept"] + found["others"]) == ["banana", "fig", "orange"]


def test_filter_compares_numbers() -> None:
    data = {"condition": "is at least", "value": "2"}
    assert with_list([1, 2, 3.5], "filter", data)["x"] == {"kept": [2, 3.5], "others": [1]}


def test_a_condition_on_a_number_that_is_none_is_one_line() -> None:
    with pytest.raises(FlowError, match="Filter: the value: expected a number, found 'x'"):
        with_list(["x"], "filter", {"condition": "is at most", "value": "2"})


def test_a_chart_has_its_values_and_labels() -> None:
    assert with_list([1, 2], "chart", {"form": "line"}, "values")["x"] == {
        "form": "line", "values": [1, 2], "labels": [],
    }  # fmt: skip


def test_a_chart_with_another_number_of_labels_is_one_line() -> None:
    nodes = {"n": ("number", {"number": 1}), "l": ("list", {"inputs": 1}),
             "t": ("list", {"lines": "a\nb"}), "c": "chart"}  # fmt: skip
    wires = "n.value -> l.item 1", "l.items -> c.values", "t.items -> c.labels"
    with pytest.raises(FlowError, match="labels: expected 1, as many as values, found 2"):
        Done(made(nodes, *wires))


def test_dates_are_edtf() -> None:
    found = Done(made({"t": ("text", {"text": "25 December 1071"}), "d": "dates"},
                      "t.value -> d.text"))["d"]  # fmt: skip
    assert found["edtf"] == "1071-12-25"
    assert found["dates"][0]["type"] == "date"


def test_map_fills_in_its_template_for_each_item() -> None:
    data = {"then": "text", "template": "<{{item}}>"}
    done = with_list(["a", "b"], "map", data)
    assert done["x"] == ["<a>", "<b>"]
    progress = [e.data for e in done.events if e.kind == "progress"]
    assert progress == [[0, 2], [1, 2], [2, 2]]


def test_map_gives_items_to_another_kind_in_their_order() -> None:
    days = [f"{day} May 1871" for day in range(1, 9)]
    assert with_list(days, "map", {"then": "dates"})["x"] == [
        f"1871-05-{day:02}" for day in range(1, 9)
    ]


def test_map_of_nothing_is_nothing() -> None:
    assert with_list([], "map", {"then": "text"})["x"] == []


# With models


def asked(models: Models, kind: str, text: str, data: dict[str, Any], port: str = "prompt") -> Done:
    nodes = {"t": ("text", {"text": text}), "x": (kind, data)}
    return Done(made(nodes, f"t.value -> x.{port}"), models)


def test_generate_streams_its_answer(models: Models) -> None:
    data = {"max_tokens": 12, "temperature": 0}
    done = asked(models, "generate", "Say hello.", data)
    streamed = "".join(e.data for e in done.events if e.kind == "text")
    assert done["x"] == streamed.strip() != ""
    stats = [e.data for e in done.events if e.kind == "stats"]
    assert stats[0]["n_generated"] <= 12


def test_texts_with_braces_are_no_templates(models: Models) -> None:
    data = {"max_tokens": 2, "temperature": 0, "system": "{{not a name}}"}
    assert isinstance(asked(models, "generate", "{{x}} {{{", data)["x"], str)


def test_generate_continues_a_text(models: Models) -> None:
    data = {"max_tokens": 8, "temperature": 0, "way": "continue"}
    text = "Once upon a time there was"
    with models.get("").session(temperature=0) as session:
        expected = "".join(p.text for p in session.stream(text, max_tokens=8) if p.kind != "prompt")
    assert asked(models, "generate", text, data)["x"] == expected


def test_structured_gives_a_value_of_the_schema_and_its_parts(models: Models) -> None:
    schema = {
        "type": "object", "properties": {"n": {"type": "integer"}, "mood": {"enum": ["a", "b"]}},
        "required": ["n", "mood"], "additionalProperties": False,
    }  # fmt: skip
    found = asked(models, "structured", "Count: 1, 2.", {"schema": schema})["x"]
    assert found["value"] == {"n": found["n"], "mood": found["mood"]}
    assert isinstance(found["n"], int)
    assert found["mood"] in ("a", "b")


def test_a_schema_that_cannot_be_is_one_line(models: Models) -> None:
    with pytest.raises(FlowError, match=r"^Structured generate: ") as raised:
        asked(models, "structured", "x", {"schema": {"type": "no such type"}})
    assert "\n" not in str(raised.value)


def test_chat_remembers_from_run_to_run_and_forgets_with_another_system(models: Models) -> None:
    memory: dict[str, dict[str, Any]] = {}

    def said(text: str, system: str = "") -> Any:
        data = {"max_tokens": 4, "temperature": 0, "system": system}
        flow = made({"t": ("text", {"text": text}), "c": ("chat", data)}, "t.value -> c.message")
        return Done(flow, models, memory=memory)["c"]

    said("Hello.")
    second = said("And now?")
    assert [m["content"] for m in second["messages"] if m["role"] == "user"] == [
        "Hello.",
        "And now?",
    ]
    other = said("Hello.", "Be brief.")
    assert len([m for m in other["messages"] if m["role"] == "user"]) == 1


def test_embeddings_of_texts_that_mean_the_same_are_close(models: Models) -> None:
    texts = ["A cat sits on the mat.", "A kitten lies on a rug.", "The stock market fell."]
    nodes = {"l": ("list", {"lines": "\n".join(texts)}), "m": ("map", {"then": "embed"})}
    a, b, c = Done(made(nodes, "l.items -> m.items"), models)["m"]

    def dot(x: list[float], y: list[float]) -> float:
        return sum(p * q for p, q in zip(x, y, strict=True))

    assert len(a) == 384
    assert dot(a, b) > dot(a, c) + 0.2


def test_rank_orders_texts_by_meaning(models: Models) -> None:
    texts = ["The stock market fell.", "A kitten lies on a rug.", "It rains."]
    nodes = {"q": ("text", {"text": "A cat sits on the mat."}),
             "l": ("list", {"lines": "\n".join(texts)}), "r": "rank"}  # fmt: skip
    found = Done(made(nodes, "q.value -> r.query", "l.items -> r.texts"), models)["r"]
    assert found["nearest"] == found["ranked"][0] == texts[1]
    assert found["scores"][1] == max(found["scores"]) > 0.4
    assert sorted(found["ranked"]) == sorted(texts)


def test_search_finds_the_passage_in_a_folder(models: Models, tmp_path: Path) -> None:
    pytest.importorskip("sqlite_vec", reason="pip install llmpy[chains]")
    (tmp_path / "a.txt").write_text("Bread is baked from flour, water, salt and yeast.")
    (tmp_path / "b.txt").write_text("The moon is about 384,000 km away from the earth.")
    nodes = {"q": ("text", {"text": "How far is the moon?"}), "f": ("folder", {"path": "."}),
             "s": ("search", {"passages": 1})}  # fmt: skip
    flow = made(nodes, "q.value -> s.query", "f.value -> s.folder")
    found = Done(flow, models, allowed=Allowed(tmp_path))["s"]
    assert found["passages"][0]["source"] == "b.txt"
    assert found["text"].startswith("[b.txt:1]\nThe moon")


def test_split_gives_parts_that_joined_are_the_text(models: Models) -> None:
    text = " ".join(f"Sentence number {i}." for i in range(40))
    parts = asked(models, "split", text, {"tokens": 30}, "text")["x"]
    assert len(parts) > 4
    assert "".join(parts) == text


def test_a_model_decides(models: Models) -> None:
    data = {"condition": "a model says yes", "value": "Is this a question?"}
    found = asked(models, "if", "Where is it?", data, "input")["x"]
    assert found == "Where is it?"


def test_a_model_that_is_not_there_is_one_line_that_says_what_to_do() -> None:
    with pytest.raises(FlowError, match=r"Generate: .*pull") as raised:
        Done(made({"t": "text", "g": "generate"}, "t.value -> g.prompt"))
    assert "\n" not in str(raised.value)


def test_without_a_model_for_embeddings_it_is_said_how_to_get_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LLMPY_MODELS", str(tmp_path))
    with pytest.raises(FlowError, match=r"llmpy pull minilm .* --embedder MODEL"):
        Done(made({"t": "text", "e": "embed"}, "t.value -> e.text"))


def test_an_installed_model_for_embeddings_is_used_where_none_is_named(
    minilm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = [SimpleNamespace(name="a", good_for="chat"),
              SimpleNamespace(name=str(minilm), good_for="embeddings")]  # fmt: skip
    monkeypatch.setattr(llmpy, "models", lambda: stored)
    flow = made({"t": ("text", {"text": "owls"}), "e": "embed"}, "t.value -> e.text")
    assert len(Done(flow)["e"]) == 384


def test_a_file_of_a_model_that_has_changed_makes_results_anew(
    models: Models, smollm2: Path, tmp_path: Path
) -> None:
    cache, copy = Cache(), tmp_path / "copy.gguf"
    data = {"model": str(copy), "max_tokens": 1}
    flow = made({"t": ("text", {"text": "Hi."}), "g": ("generate", data)}, "t.value -> g.prompt")
    copy.write_bytes(smollm2.read_bytes())
    assert [Done(flow, models, cache=cache).states("g")[-1] for _ in range(2)] == ["done", "cached"]
    os.utime(copy, (1, 1))
    assert Done(flow, models, cache=cache).states("g")[-1] == "done"
    cache.close()
