"""The model that is part of the package: it is there, small, and used without a network."""

from __future__ import annotations

import subprocess
import sys
from importlib.resources import files

import pytest

import llmpy
from llmpy.apps import dates

OFFLINE = """
import socket, sys
def refuse(*_, **__): raise OSError("no network here")
socket.socket.connect = socket.getaddrinfo = refuse
from llmpy.cli import main
main(sys.argv[1:])
"""


def offline(*arguments: str) -> subprocess.CompletedProcess[str]:
    """`llmpy` in a process that cannot open a connection."""
    command = [sys.executable, "-X", "utf8", "-c", OFFLINE, *arguments]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=300)


def test_the_model_is_package_data_with_its_card() -> None:
    folder = files("llmpy.apps.dates")
    assert folder.joinpath(dates.model_path().name).is_file()
    card = folder.joinpath("MODEL.md").read_text(encoding="utf-8")
    assert {"apache" in card.lower(), "train" in card.lower()} == {True}


def test_the_model_is_small_and_says_its_licence() -> None:
    assert dates.model_path().stat().st_size <= 8_000_000
    with llmpy.open_model(dates.model_path()) as file:
        assert file.metadata["general.architecture"] == "llama"
        assert str(file.metadata["general.license"]).lower() == "apache-2.0"
        assert 3_000_000 <= file.parameters <= 8_000_000
        assert len(file.metadata["tokenizer.ggml.tokens"]) <= 1024


def test_figures_are_tokens_of_their_own() -> None:
    tokenizer = llmpy.load_tokenizer(dates.model_path())
    pieces = [tokenizer.piece(i) for i in tokenizer.encode("12–1914X, 1066-21/[..]~?%;#")]
    signs = [piece for piece in pieces if piece.isascii()]
    assert all(len(piece.strip()) <= 1 for piece in signs)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("c. 450–438 BC", "-0449~/-0437~"),
        ("3–7 June 1944", "1944-06-03/1944-06-07"),
        ("from spring 1066 until 25 December 1071", "1066-21/1071-12-25"),
        ("no date here", "no date"),
    ],
)
def test_dates_are_parsed_without_a_network(text: str, expected: str) -> None:
    done = offline("dates", text)
    assert (done.returncode, done.stdout) == (0, expected + "\n"), done.stderr
    assert done.stderr == "model: dates-q8_0, which is part of llmpy (-m takes another)\n"


@pytest.mark.parametrize("command", [("info",), ("bench", "-r", "1", "-n", "4")])
def test_info_and_bench_use_it_where_no_model_is_installed(command: tuple[str, ...]) -> None:
    done = offline(*command)
    assert done.returncode == 0, done.stderr
    assert "which is part of llmpy" in done.stderr


@pytest.mark.parametrize("command", [("infer", "-p", "a"), ("chat", "-p", "a")])
def test_infer_and_chat_do_not(command: tuple[str, ...]) -> None:
    done = offline(*command)
    assert done.returncode == 2
    assert "llmpy pull" in done.stderr
