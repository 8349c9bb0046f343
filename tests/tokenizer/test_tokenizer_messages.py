"""What is said of files whose tokenizer is missing or lacks something, and of too little memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import llmpy
from llmpy.errors import ModelFileError, OutOfMemory
from llmpy.format import write_gguf
from llmpy.tokenizer import build_tokenizer, merger
from tests.tokenizer.vocabularies import byte_level, keys, sentencepiece


def test_a_file_without_a_pre_tokenizer_is_warned_of(tmp_path: Path) -> None:
    data = byte_level("a b", pre=None)
    write_gguf(tmp_path / "x.gguf", {"general.architecture": "gpt2", **data}, [])
    with pytest.warns(RuntimeWarning, match=r"x\.gguf: no tokenizer\.ggml\.pre, .* convert"):
        tokenizer = llmpy.load_tokenizer(tmp_path / "x.gguf")
    assert tokenizer.encode("ab") == [256]


@pytest.mark.parametrize("name", ["tekken.json", "qwen.tiktoken", "", "x.txt"])
def test_a_folder_without_a_tokenizer_says_what_is_there(name: str, tmp_path: Path) -> None:
    if name:
        (tmp_path / name).write_text("{}")
    known = name in ("tekken.json", "qwen.tiktoken")
    found = f"only {name}, which llmpy cannot read" if known else "none of them"
    with pytest.raises(ModelFileError, match=f"tokenizer.json, .* found {found}") as caught:
        llmpy.load_tokenizer(tmp_path)
    assert "Put the model's tokenizer.json" in str(caught.value)


def test_a_tokenizer_model_of_tiktoken_is_named(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.model").write_bytes(b"IQ== 0\nIg== 1\n")
    with pytest.raises(ModelFileError, match="model of sentencepiece, found a file of tiktoken"):
        llmpy.load_tokenizer(tmp_path)


@pytest.mark.parametrize("model", ["no_vocab", None])
def test_a_file_without_a_tokenizer_says_so(model: str | None, tmp_path: Path) -> None:
    write_gguf(tmp_path / "x.gguf", {"general.architecture": "llama", **keys(model=model)}, [])
    with pytest.raises(ModelFileError, match="This file has no tokenizer"):
        llmpy.load_tokenizer(tmp_path / "x.gguf")


KINDS = {
    "byte-level": byte_level("a b"),
    "sentencepiece": sentencepiece("a"),
    "unigrams": sentencepiece("a", model="t5"),
    "word pieces": keys(model="bert", tokens=["a"]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_too_little_address_space_is_an_error(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merger, "address_space_left", lambda: 1_000_000)
    with pytest.raises(OutOfMemory, match=r"needs about .* may map 1\.0 MB more: .*ulimit -v"):
        build_tokenizer(KINDS[kind])
    monkeypatch.setattr(merger, "address_space_left", lambda: None)
    build_tokenizer(KINDS[kind])


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's")
def test_a_limit_of_address_space_does_not_end_the_process() -> None:
    program = (
        "import resource, llmpy, tokenizers\n"
        "from bench import vocabulary\n"
        "from llmpy.tokenizer import build_tokenizer, scored\n"
        "scored.MANY_TOKENS = 10**9\n"
        "data = vocabulary.metadata(60_000, False)\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + (40 << 20), resource.RLIM_INFINITY))\n"
        "try: build_tokenizer(data)\n"
        "except llmpy.OutOfMemory as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "of 60000 tokens, needs about" in done.stdout
