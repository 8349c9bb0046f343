"""Names of models, and names of files from outside."""

from __future__ import annotations

import ntpath
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmpy.errors import PullError
from llmpy.hub.names import check_name, file_name, model_name, relative_path

HOSTILE = st.text(st.characters(), max_size=30) | st.lists(
    st.sampled_from(["..", ".", "", "a", "con", "NUL.txt", "com1", "C:", " ", "x.", "\\", "\x00"]),
    max_size=6,
).map("/".join)  # fmt: skip


@given(HOSTILE)
def test_a_file_from_outside_stays_below_its_folder_on_every_system(name: str) -> None:
    try:
        found = relative_path(name, "source")
    except PullError:
        return
    base = Path("/base").absolute()
    assert base in (base / found).resolve().parents
    windows = ntpath.normpath(ntpath.join("C:\\base", *name.split("/")))
    assert windows.startswith("C:\\base\\")
    for part in name.split("/"):
        assert not part.endswith((".", " "))
        assert part.partition(".")[0].strip().lower() not in {"con", "nul", "aux", "prn", "com1"}


@pytest.mark.parametrize("name", ["model.gguf", "a/b/c.json", "1_Pooling/config.json", "x y.gguf"])
def test_plain_names_of_files_are_taken(name: str) -> None:
    assert relative_path(name, "source") == Path(name)


@given(HOSTILE)
def test_any_text_makes_a_harmless_file_name(text: str) -> None:
    name = file_name(text)
    assert name.isascii()
    assert relative_path(name, "source") == Path(name)


@pytest.mark.parametrize(
    ("file", "name"),
    [("a/b-Q4_0.gguf", "b-Q4_0"), ("x.bin", "x"), ("x.gguf.GGUF", "x"), (".gguf", "gguf"),
     ("My model", "My-model"), ("v1.5", "v1.5"), ("\u00e9", "model")],
)  # fmt: skip
def test_a_file_gives_its_model_a_name(file: str, name: str) -> None:
    assert model_name(file) == name


@given(HOSTILE)
def test_any_file_gives_its_model_a_name_that_can_be_one(file: str) -> None:
    check_name(model_name(file))


@pytest.mark.parametrize(
    "name", ["smollm2", "user/repo", "user/repo:Q4_K_M", "llama3.2:1b", "A-b_c.1", "x"]
)
def test_names_of_models(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["", " ", "a b", "a/b/c", "../a", "a/..", "-a", ".a", "a.", "a:", ":a", "a\n", "caf\u00e9",
     "x.gguf", "pypi:a", "ollama:a", "https:a", "a" * 97, "a\x00"],
)  # fmt: skip
def test_what_cannot_be_a_name(name: str) -> None:
    with pytest.raises(ValueError, match=r"^name: "):
        check_name(name)
