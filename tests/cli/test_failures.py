"""Wrong usage is exit code 2 and failure 1; either is one line on stderr that says where."""

from __future__ import annotations

from pathlib import Path

import pytest


def told_in_one_line(done) -> bool:
    return done.out == "" and done.err.startswith("llmpy: ") and done.err.count("\n") == 1


@pytest.mark.usefixtures("nothing_installed")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "command"),
        (("nosuch",), "nosuch"),
        (("infer",), "llmpy pull smollm2 (92.9 MB to download, licence Apache-2.0), or -m MODEL"),
        (("infer", "-m"), "-m"),
        (("infer", "-m", "x.gguf"), "-p TEXT"),
        (("infer", "-m", "x.gguf", "-p", "a", "--nosuch"), "--nosuch"),
        (("infer", "-m", "x.gguf", "-p", "a", "-n", "many"), "many"),
        (("infer", "-m", "x.gguf", "-p", "a", "-c", "0"), "--n-ctx"),
        (("infer", "-m", "x.gguf", "-p", "a", "--backend", "tpu"), "reference"),
        (("infer", "-m", "x.gguf", "-p", "a", "--temperature", "-1"), "temperature"),
        (("infer", "-m", "x.gguf", "-p", "a", "--temperature", "nan"), "temperature"),
        (("infer", "-m", "x.gguf", "-p", "a", "--top-p", "2"), "top_p"),
        (("infer", "-m", "x.gguf", "-p", "a", "--seed", "-1"), "--seed"),
        (("infer", "-m", "x.gguf", "-p", "a", "--stop", ""), "--stop"),
        (("tokens", "-m", "x.gguf"), "TEXT"),
        (("convert", "x.gguf"), "OUT"),
        (("convert", "", "x.gguf"), "found an empty one"),
        (("infer", "-m", "", "-p", "a"), "found an empty one"),
    ],
)
def test_wrong_usage(run, arguments: tuple[str, ...], message: str) -> None:
    done = run(*arguments)
    assert done.code == 2
    assert told_in_one_line(done)
    assert message in done.err


COMMANDS = [
    ("bench", "--backend", "reference", "-m"),
    ("infer", "--backend", "reference", "-p", "a", "-m"),
    ("info", "-m"),
    ("tokens", "a", "-m"),
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: c[0])
class TestFiles:
    def test_a_missing_file(self, run, tmp_path: Path, command: tuple[str, ...]) -> None:
        done = run(*command, tmp_path / "missing.gguf")
        assert done.code == 1
        assert told_in_one_line(done)
        assert "missing.gguf" in done.err

    def test_a_folder(self, run, tmp_path: Path, command: tuple[str, ...]) -> None:
        done = run(*command, tmp_path)
        assert done.code == 1
        assert told_in_one_line(done)
        assert tmp_path.name in done.err

    def test_text_that_is_no_model(self, run, tmp_path: Path, command: tuple[str, ...]) -> None:
        file = tmp_path / "text.gguf"
        file.write_text("It was a dark and stormy night; the rain fell in torrents.\n")
        done = run(*command, file)
        assert done.code == 1
        assert told_in_one_line(done)
        assert "text.gguf" in done.err
        assert "magic" in done.err

    @pytest.mark.parametrize("n_bytes", [0, 3, 30, 5_000])
    def test_a_truncated_model(
        self, run, tmp_path: Path, stories: Path, command: tuple[str, ...], n_bytes: int
    ) -> None:
        file = tmp_path / "short.gguf"
        file.write_bytes(stories.read_bytes()[:n_bytes])
        done = run(*command, file)
        assert done.code == 1
        assert told_in_one_line(done)
        assert "short.gguf" in done.err


def test_a_model_that_lacks_the_end_of_its_weights(run, tmp_path: Path, stories: Path) -> None:
    file = tmp_path / "short.gguf"
    file.write_bytes(stories.read_bytes()[:-1000])
    done = run("infer", "--backend", "reference", "-p", "a", "-m", file)
    assert done.code == 1
    assert told_in_one_line(done)
    assert "tensor" in done.err


def test_a_prompt_longer_than_the_context(infer) -> None:
    done = infer("-p", "a b c d e f g h", "-c", 4)
    assert done.code == 1
    assert told_in_one_line(done)
    assert "context holds 4 tokens" in done.err


def test_a_prompt_file_that_is_missing(infer, tmp_path: Path) -> None:
    done = infer("-f", tmp_path / "prompt.txt")
    assert done.code == 1
    assert told_in_one_line(done)
    assert "prompt.txt" in done.err


@pytest.mark.parametrize("option", ["-p", "-f"])
def test_a_prompt_that_is_no_text(infer, tmp_path: Path, option: str) -> None:
    file = tmp_path / "prompt.txt"
    file.write_bytes(b"ab\xff")
    done = infer(option, "-" if option == "-p" else file, stdin=b"ab\xff")
    assert done.code == 1
    assert told_in_one_line(done)
    assert "0xff at 2" in done.err


def test_a_file_cannot_write_to_the_terminal_through_an_error(
    run, tmp_path: Path, stories: Path
) -> None:
    file = tmp_path / "escape.gguf"
    data = stories.read_bytes()
    assert data.count(b"llama.block_count") == 1
    file.write_bytes(data.replace(b"llama.block_count", b"\x1b[2J\xc2\x9b\x07.blockcoun"))
    for command in COMMANDS:
        done = run(*command, file)
        assert "blockcoun" in done.out + done.err or command[0] != "info"
        assert {"\x1b", "\x9b", "\x07"}.isdisjoint(done.out + done.err)


@pytest.mark.parametrize("command", [("run-chain",), ("flow", "run")])
def test_a_file_that_is_missing_is_named_first(run, command: tuple[str, ...]) -> None:
    done = run(*command, "nothing.here")
    assert done.code == 1
    assert done.err == "llmpy: nothing.here: No such file or directory\n"
