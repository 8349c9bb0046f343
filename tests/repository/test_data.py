"""Files of others in tests/data: each has its source, its licence and the bytes it had there."""

from __future__ import annotations

import hashlib

from tests.repository import sources

DATA = sources.ROOT / "tests" / "data"
OWN = {"LICENSES.txt", "PROVENANCE.tsv"}


def rows() -> list[dict[str, str]]:
    head, *lines = (DATA / "PROVENANCE.tsv").read_text(encoding="utf-8").splitlines()
    return [dict(zip(head.split("\t"), line.split("\t"), strict=True)) for line in lines]


def test_every_file_has_its_source_and_its_licence() -> None:
    files = {p.relative_to(DATA).as_posix() for p in DATA.rglob("*") if p.is_file()} - OWN
    assert {row["file"] for row in rows()} == files
    assert all(all(row.values()) for row in rows())


def test_every_file_has_the_bytes_of_its_source() -> None:
    found = {
        row["file"]: hashlib.sha256((DATA / row["file"]).read_bytes()).hexdigest() for row in rows()
    }
    assert found == {row["file"]: row["sha256"] for row in rows()}
