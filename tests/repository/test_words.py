"""Words that have no place here: other machines' paths, work left for later, names of one's own for
what the field has words for.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tests.repository import sources

# Written in halves, so that this file passes its own test.
MACHINE_PATHS = ["/wor" + "k/", "/roo" + "t/", "/ho" + "me/", "/tm" + "p/", "C:" + r"\\Users"]
UNFINISHED = ["TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK"]
PLACES = re.compile("|".join(MACHINE_PATHS))
LEFT = re.compile("|".join(rf"\b{word}\b" for word in UNFINISHED))


def test_no_path_of_a_machine_and_nothing_left_for_later() -> None:
    found = {}
    for path in sources.project_files():
        text = path.read_text(encoding="utf-8")
        if words := PLACES.findall(text) + LEFT.findall(text):
            found[sources.name(path)] = words
    assert found == {}


def test_the_patterns_find_what_they_look_for() -> None:
    for place in MACHINE_PATHS[:-1]:
        assert PLACES.search(f"see {place}main")
    for word in UNFINISHED:
        assert LEFT.search(f"# {word}: later")


# Parts of names, and what to call it instead.
FIELDS_WORDS = {
    "crowd": "contention",
    "hear": "append",
    "heard": "append",
    "mixture": "moe",
    "panel": "packed panel, in native code alone",
    "peaks": "block maxima",
    "plus": "add",
    "said": "appended, generated",
    "shares": "router weights",
    "wanted": "output rows, options",
}
CORE = ("engine", "session", "graph", "backends", "arch")


def names_in(tree: ast.Module) -> Iterator[str]:
    """Every name that a module defines or uses."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name):
                yield name
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                yield name


def old_words(tree: ast.Module) -> set[str]:
    return {name for name in names_in(tree) if not FIELDS_WORDS.keys().isdisjoint(name.split("_"))}


def test_names_are_those_of_the_field() -> None:
    paths = [p for folder in CORE for p in (sources.PACKAGE / folder).rglob("*.py")]
    assert len(paths) > 100
    found = {sources.name(p): words for p in paths if (words := old_words(sources.tree(p)))}
    assert found == {}, FIELDS_WORDS


def test_an_old_word_in_a_name_is_found() -> None:
    assert old_words(ast.parse("def f(n_said): return x.wanted_rows + peaks + aside")) == {
        "n_said",
        "wanted_rows",
        "peaks",
    }
