"""The files of the page: where the libraries come from, what is loaded, and from where."""

from __future__ import annotations

import hashlib
import re

from tests.apps.webapp.browser.scripted import WEB

VENDOR = WEB / "vendor"
OWN = [p for p in WEB.rglob("*") if p.is_file() and VENDOR not in p.parents]


def rows() -> list[dict[str, str]]:
    head, *lines = (VENDOR / "PROVENANCE.tsv").read_text("utf-8").splitlines()
    return [dict(zip(head.split("\t"), line.split("\t"), strict=True)) for line in lines]


def test_each_vendored_file_has_its_package_licence_and_bytes() -> None:
    files = {p.relative_to(VENDOR).as_posix() for p in VENDOR.rglob("*") if p.is_file()}
    licences = {f for f in files if f.startswith("licenses/")}
    assert {row["file"] for row in rows()} == files - licences - {"PROVENANCE.tsv"}
    assert {row["license file"] for row in rows()} == licences
    for row in rows():
        data = (VENDOR / row["file"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == row["sha256"], row["file"]


def test_the_page_names_no_other_host() -> None:
    named = {}
    for path in OWN:
        text = path.read_text("utf-8")
        found = set(re.findall(r"https?://[^\s\"'`)]+", text)) - {"http://www.w3.org/2000/svg"}
        if found:
            named[path.name] = found
    assert named == {}


def test_there_is_no_script_or_style_in_the_html() -> None:
    html = (WEB / "index.html").read_text("utf-8")
    assert re.findall(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", html) == []


def test_modules_and_styles_say_first_what_they_are() -> None:
    for path in OWN:
        if path.suffix in (".js", ".css"):
            assert path.read_text("utf-8").startswith(("// ", "/* ")), path.name
            assert len(path.read_text("utf-8").splitlines()) <= 600, path.name
