"""The commands quantize, imatrix and perplexity."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import llmpy


@pytest.fixture
def text(tmp_path: Path, shared_data: Callable[[str], Path]) -> Path:
    """A short text."""
    path = tmp_path / "text.txt"
    path.write_bytes(shared_data("text/frankenstein.txt").read_bytes()[3000:7000])
    return path


@pytest.mark.filterwarnings("always:.*no whole number of blocks:RuntimeWarning")
def test_quantize_measures_what_it_did(run, stories: Path, tmp_path: Path, text: Path) -> None:
    weights, out = tmp_path / "i.gguf", tmp_path / "out.gguf"
    done = run("imatrix", "-m", stories, "-f", text, "-c", 64, "--windows", 3, "-o", weights)
    assert (done.code, done.out) == (0, "")
    assert done.err == f"wrote {weights}: 35 tensors, 3 windows\n"
    done = run("quantize", stories, out, "q5_k_m", "--imatrix", weights, "-t", 1)
    assert done.code == 0
    assert "warning: 37 tensors have rows" in done.err.splitlines()[0]
    assert done.err.splitlines()[-1].startswith(f"wrote {out}: 1.19 -> 0.3")
    done = run("perplexity", "-m", out, "-f", text, "-c", 128, "--kl", stories, "--json")
    found = json.loads(done.out)
    assert 0 < found["mean"] < 0.05
    assert found["perplexity"]["n_tokens"] == found["base"]["n_tokens"] > 500


def test_perplexity_says_one_line(run, stories: Path, text: Path) -> None:
    done = run("perplexity", "-m", stories, "-f", text, "-c", 64, "--windows", 2)
    assert done.code == 0
    assert done.out.startswith("perplexity ")
    assert "+/-" in done.out
    assert len(done.out.splitlines()) == 1
    assert done.err == ""


def test_divergence_says_three_lines(run, stories: Path, text: Path) -> None:
    arguments = ("-m", stories, "-f", text, "-c", 64, "--windows", 2, "--kl", stories)
    done = run("perplexity", *arguments)
    assert [line.split()[0] for line in done.out.splitlines()] == [
        "perplexity",
        "base",
        "divergence",
    ]


def test_events_as_json(run, stories: Path, tmp_path: Path) -> None:
    keep = ("--keep", "output.weight=F16", "--keep", "*ffn_down*=BF16")
    done = run("quantize", stories, tmp_path / "o.gguf", "q8_0", *keep, "--json", "-q")
    events = [json.loads(line) for line in done.out.splitlines()]
    assert events[-1]["kind"] == "finished"
    targets = {e["name"]: e["target"] for e in events}
    assert targets["output.weight"] == "F16"
    assert targets["blk.0.ffn_down.weight"] == "BF16"


def test_quiet_is_quiet(run, stories: Path, tmp_path: Path) -> None:
    done = run("quantize", stories, tmp_path / "o.gguf", "f16", "-q")
    assert (done.code, done.out, done.err) == (0, "", "")


def test_what_must_be_asked_for(run, stories: Path, tmp_path: Path) -> None:
    out = tmp_path / "o.gguf"
    assert run("quantize", stories, out, "f16", "-q").code == 0
    before = out.read_bytes()
    for arguments in ((out, out, "bf16"), (out, tmp_path / "p.gguf", "f16")):
        done = run("quantize", *arguments)
        assert done.code == 1
        assert "--in-place" in done.err or "--allow-same" in done.err
    assert out.read_bytes() == before
    assert run("quantize", out, out, "bf16", "--in-place", "-q").code == 0
    with llmpy.open_gguf(out) as file:
        assert str(file.tensors["output.weight"].dtype) == "BF16"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("x.gguf",), 2, "OUT"),
        (("x.gguf", "y.gguf"), 2, "KIND"),
        (("x.gguf", "y.gguf", "q9"), 1, "Q4_K_M"),
        (("x.gguf", "y.gguf", "q4_0", "--keep", "F16"), 2, "PATTERN=TYPE"),
        (("x.gguf", "y.gguf", "q4_0", "--keep", "a=Q9"), 1, "IQ4_XS"),
        (("x.gguf", "y.gguf", "q4_0"), 1, "x.gguf"),
    ],
)
def test_wrong_usage(run, arguments: tuple[str, ...], code: int, message: str) -> None:
    done = run("quantize", *arguments)
    assert done.code == code
    assert message in done.err
    assert len(done.err.splitlines()) == 1


def test_a_text_that_is_none(run, stories: Path, tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes(b"\xff\xfe")
    for command in (("perplexity",), ("imatrix", "-o", tmp_path / "o")):
        done = run(*command, "-m", stories, "-f", tmp_path / "t")
        assert done.code == 1
        assert "expected UTF-8 text" in done.err


def test_a_place_that_is_no_file_is_refused_before_the_text_is_read(run, tmp_path: Path) -> None:
    done = run("imatrix", "-m", "absent.gguf", "-f", "absent.txt", "-o", tmp_path)
    assert (done.code, done.out) == (2, "")
    assert f"--out: expected a file, or a new name, found {tmp_path}" in done.err
