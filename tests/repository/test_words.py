"""Words that have no place in the project: other machines' paths, and work left for later."""

from __future__ import annotations

import re

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
