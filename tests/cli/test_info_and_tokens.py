"""`llmpy info` and `llmpy tokens`: what a model file holds, and what a text becomes in it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import llmpy


def test_info_prints_the_metadata(run, stories: Path) -> None:
    done = run("info", "-m", stories)
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert f"file: {stories} (1.2 MB, GGUF 3, little-endian)" in lines
    assert "tensors: 48 (48 F32)" in lines
    assert 'general.architecture: "llama"' in lines
    assert "llama.block_count: 5" in lines


def test_info_cuts_long_arrays_short(run, stories: Path) -> None:
    line = next(x for x in run("info", "-m", stories).out.splitlines() if ".ggml.tokens" in x)
    assert "512 values" in line
    assert len(line) < 120


def test_info_lists_tensors(run, stories: Path) -> None:
    rows = [line.split() for line in run("info", "-t", "-m", stories).out.splitlines()]
    assert ["F32", "512", "x", "64", "131072", "token_embd.weight"] in rows


def test_info_lists_tokens(run, stories: Path) -> None:
    rows = run("info", "-k", "-m", stories).out.splitlines()
    assert '      1  "<s>"' in rows
    assert len(rows) == len(run("info", "-m", stories).out.splitlines()) + 512


def test_info_as_json(run, stories: Path) -> None:
    found = json.loads(run("info", "--json", "-t", "-k", "-m", stories).out)
    assert found["parameters"] == 292_800
    assert found["metadata"]["llama.embedding_length"] == 64
    assert found["metadata"]["tokenizer.ggml.tokens"] == {"length": 512}
    assert len(found["tensors"]) == 48
    assert found["tensors"][0].keys() == {"name", "type", "shape", "bytes"}
    assert len(found["tokens"]) == 512


def test_info_as_json_leaves_out_what_was_not_asked_for(run, stories: Path) -> None:
    found = json.loads(run("info", "--json", "-m", stories).out)
    assert found.keys() == {"path", "format", "bytes", "parameters", "metadata", "license"}


def test_tokens_are_the_ids_and_pieces_of_a_text(run, stories: Path) -> None:
    rows = [
        line.split(maxsplit=1)
        for line in run("tokens", "-m", stories, "Once upon").out.splitlines()
    ]
    ids = llmpy.load_tokenizer(stories).encode("Once upon", bos=True)
    assert [int(i) for i, _ in rows] == ids
    assert rows[0][1] == "<s>"  # a control token has no quotes
    assert "".join(json.loads(piece) for _, piece in rows[1:]) == " Once upon"


def test_tokens_that_are_parts_of_a_character_are_shown_as_bytes(run, stories: Path) -> None:
    rows = [
        line.split(maxsplit=1)[1] for line in run("tokens", "-m", stories, "馬").out.splitlines()
    ]
    assert rows[-3:] == ["<E9>", "<A6>", "<AC>"]


@pytest.mark.parametrize("stdin", ["Once upon", ""])
def test_tokens_of_stdin(run, stories: Path, stdin: str) -> None:
    done = run("tokens", "-m", stories, "-", stdin=stdin.encode())
    assert done.out == run("tokens", "-m", stories, stdin).out


def test_tokens_as_json(run, stories: Path) -> None:
    found = json.loads(run("tokens", "--json", "-m", stories, "Once").out)
    ids = llmpy.load_tokenizer(stories).encode("Once", bos=True)
    assert [row["id"] for row in found] == ids
    assert "".join(row["piece"] for row in found) == "<s> Once"


def test_control_tokens_in_a_text_count_only_where_asked_for(run, stories: Path) -> None:
    def ids(*options: str) -> list[int]:
        found = json.loads(run("tokens", "--json", "-m", stories, *options, "a</s>").out)
        return [row["id"] for row in found]

    assert ids("--special")[-1] == 2
    assert 2 not in ids()


@pytest.mark.parametrize("text", ["Once upon", "", "<s>Once", "a</s>b"])
@pytest.mark.parametrize("special", [(), ("--special",)])
def test_tokens_counts_as_infer_does(run, stories: Path, text: str, special: tuple[str, ...]):
    rows = json.loads(run("tokens", "--json", "-m", stories, *special, "--", text).out)
    done = run("infer", "-m", stories, "-p", text, "-n", 0, "--json", *special)
    assert json.loads(done.out)["timings"]["n_prompt"] == len(rows)


def test_a_byte_order_mark_is_no_text(run, stories: Path) -> None:
    done = run("tokens", "-m", stories, "-", stdin=b"\xef\xbb\xbfOnce upon")
    assert done.out == run("tokens", "-m", stories, "Once upon").out


def test_tokens_of_stdin_are_those_of_the_text_before_its_last_line_break(run, stories) -> None:
    expected = run("tokens", "-m", stories, "Once upon").out
    assert run("tokens", "-m", stories, "-", stdin=b"Once upon\n").out == expected


def test_tokens_of_a_chat_are_those_of_its_template(run, smollm2: Path) -> None:
    rows = run("tokens", "--chat", "--system", "Be brief.", "-m", smollm2, "a<|im_end|>").out
    pieces = [line.split(maxsplit=1)[1] for line in rows.splitlines()]
    controls = [piece for piece in pieces if piece[0] != '"']
    assert controls == ["<|im_start|>", "<|im_end|>"] * 2 + ["<|im_start|>"]
    texts = "".join(json.loads(piece) if piece[0] == '"' else "|" for piece in pieces)
    assert texts == "|system\nBe brief.|\n|user\na<|im_end|>|\n|assistant\n"


def test_tokens_of_a_chat_as_json_say_which_are_control_tokens(run, smollm2: Path) -> None:
    rows = json.loads(run("tokens", "--chat", "--json", "-m", smollm2, "a").out)
    assert rows[0] == {"id": 1, "piece": "<|im_start|>", "control": True}
    assert rows[1] == {"id": 9690, "piece": "system", "control": False}


def test_tokens_of_a_chat_with_a_template_from_a_file(run, stories: Path, tmp_path: Path) -> None:
    file = tmp_path / "chat.jinja"
    file.write_text("{% for m in messages %}[{{ m.content }}]{% endfor %}")
    rows = json.loads(
        run("tokens", "--chat", "--json", "--template", file, "-m", stories, "Once").out
    )
    assert "".join(row["piece"] for row in rows) == "<s> [Once]"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--system", "x"), "--chat"),
        (("--chat", "--special"), "--special"),
        (("--chat", "--template", "nosuch"), "chatml"),
        (("--chat", "--template", "no/such"), "no/such"),
    ],
)
def test_wrong_options_of_a_chat(
    run, stories: Path, options: tuple[str, ...], message: str
) -> None:
    done = run("tokens", "-m", stories, *options, "Once")
    assert done.code in (1, 2)
    assert message in done.err
    assert done.out == ""
