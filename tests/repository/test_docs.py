"""The documentation is true: pages made from the code are up to date, and the map is complete."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.repository import sources
from tools import generate_docs

DOCS = sources.ROOT / "docs"
ABBREVIATION = re.compile(r"\b(?:[A-Z]{2,}\w*|[Nn]_[a-z]+|[A-Z]+[a-z]+[A-Z]\w*)\b")
PLACEHOLDERS = {
    "CHAIN",
    "KIND",
    "TYPE",
    "MODEL",
    "OUT",
    "TEXT",
    "VALUE",
    "OPTIONS",
    "FILE",
    "PROMPT",
    "NAME",
    "NAMESPACE",
    "DEVICE",
    "PATH",
    "N",
    "USER",
    "REPO",
    "PACKAGE",
    "SOURCE",
}
NAMES = {
    "DeepSeek",
    "GPT",
    "NeoX",
    "README",
    "CONTRIBUTING",
    "CHANGELOG",
    "TinyLlama",
    "LM",  # Studio
    "SmolLM",
    "SmolLM2",
    "NVIDIA",
    "OpenAI",
    "OpenBLAS",
    "AdamW",
    "RMSNorm",
    "TypeError",
    "JavaScript",
    "HTML",
    "CSS",
    "DOMPurify",
    "LangChain",
    "PyTorch",
    "PyInstaller",
    "OpenVINO",
    "GenAI",
    "PowerShell",
    "JAX",
    "CuPy",
    "MiniMax",
    "LFM",
    "MiniCPM",
    "MiMo",
    "GigaChat",
    "GLM",
    "StepFun",
    "MLX",
    "LLMPY_ALLOW_LICENSES",
    "LLMPY_MODELS",
}
PAGES = [p for p in sources.project_files() if p.suffix == ".md"]
OTHERS_WORDS = ("LOG.md", "models.md")  # the latter is full of the names of models
OWN_WORDS = [  # docs/api has names and types of code
    p for p in PAGES if p.parent.name not in ("bench", "api") and p.name not in OTHERS_WORDS
]


def mapped() -> dict[str, str]:
    """The folders that docs/map.md names, each with its phrase."""
    page = (DOCS / "map.md").read_text(encoding="utf-8")
    section = page.split("## Folders")[1].split("```")[1]
    return dict(re.findall(r"^(\S+/) +(\S.*)$", section, re.M))


def test_generated_pages_are_up_to_date() -> None:
    assert generate_docs.stale() == [], "run python tools/generate_docs.py"


def test_the_map_names_every_folder_of_the_package_and_the_native_code() -> None:
    files = [p for p in sources.project_files() if sources.name(p).startswith(("src/", "native"))]
    assert {sources.name(p.parent) + "/" for p in files} - mapped().keys() == set()


def test_everything_on_the_map_exists_and_has_a_phrase() -> None:
    for path, phrase in mapped().items():
        assert (sources.ROOT / path).exists(), path
        assert phrase, path


@pytest.mark.parametrize("path", PAGES, ids=sources.name)
def test_links_lead_somewhere(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        if not target.startswith(("http:", "https:")):
            assert (path.parent / target).exists(), target


@pytest.mark.parametrize("path", OWN_WORDS, ids=sources.name)
def test_abbreviations_are_in_the_glossary(path: Path) -> None:
    explained = set(re.findall(r"`([^`]+)`", glossary_terms()))
    text = re.sub(
        r"```.*?```|`[^`]*`|<!--.*?-->|\]\([^)]*\)", " ", path.read_text("utf-8"), flags=re.S
    )
    found = {word.removesuffix("s") for word in ABBREVIATION.findall(text)}
    assert found - explained - PLACEHOLDERS - NAMES == set()


def glossary_terms() -> str:
    """The first column of the glossary's tables."""
    rows = (DOCS / "glossary.md").read_text(encoding="utf-8").splitlines()
    return "\n".join(row.split("|")[1] for row in rows if row.startswith("| `"))


def test_the_glossary_is_in_alphabetical_order() -> None:
    terms = re.findall(r"^ `([^`]+)`", glossary_terms(), re.M)
    assert len(terms) > 30
    assert terms == sorted(terms, key=str.lower)
