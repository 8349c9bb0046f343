"""What `llmpy doctor` finds, and what it advises."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

import llmpy
from llmpy import ffi
from llmpy.machine.memory import huge_pages
from llmpy.machine.processor import Cache, caches, frequency_governor


@pytest.fixture(scope="module")
def found() -> llmpy.Diagnosis:
    return llmpy.diagnose(measure=False)


@pytest.fixture
def good(found: llmpy.Diagnosis) -> llmpy.Diagnosis:
    """A machine without weaknesses."""
    return replace(
        found, processors=4, available_processors=4, cpu_quota=None, load=0.0, is_translated=False,
        governor="performance", level="avx512", levels=("portable", "avx2", "avx512"),
        memory=16 << 30, available_memory=8 << 30, group_memory_left=None, huge_pages="madvise",
        read_bandwidth=20e9, models=("smollm2",), default_model="smollm2", missing=(),
    )  # fmt: skip


def test_it_describes_this_machine(found: llmpy.Diagnosis) -> None:
    assert found.processor
    assert found.available_processors == llmpy.available_cpus()
    assert found.versions["numpy"]
    assert "reference" in found.backends
    if ffi.available():
        assert found.level == ffi.level_names()[ffi.level_number()]
        assert "cpu" in found.backends


def test_nothing_is_measured_unless_asked(found: llmpy.Diagnosis) -> None:
    assert found.read_bandwidth is None
    assert found.multiply_rate is None


@pytest.mark.skipif(not ffi.available(), reason="measures the compiled library")
def test_what_is_measured_is_plausible() -> None:
    found = llmpy.diagnose()
    assert found.read_bandwidth is not None
    assert found.multiply_rate is not None
    assert 1e8 < found.read_bandwidth < 1e13
    assert 1e8 < found.multiply_rate < 1e15


def test_a_good_machine_has_no_weakness(
    good: llmpy.Diagnosis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LLMPY_CPU", raising=False)
    assert good.weaknesses == ()
    assert "Nothing to improve" in str(good)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"level": None, "level_reason": "no such file"}, "library is missing"),
        ({"level": "portable"}, "portable kernels"),
        ({"is_translated": True}, "translates"),
        ({"cpu_quota": 1.5}, "allows 1.5 of 4"),
        ({"available_processors": 2}, "may use 2 of 4"),
        ({"load": 3.0}, "busy"),
        ({"governor": "powersave"}, "saves power"),
        ({"group_memory_left": 1 << 30}, "leaves 1.1 GB"),
        ({"available_memory": 1 << 30}, "Only 1.1 GB"),
        ({"read_bandwidth": 2e9}, "0.50 s"),
        ({"huge_pages": "never"}, "huge pages"),
        ({"models": (), "default_model": None}, "no model"),
        ({"default_model": None}, "default"),
        ({"missing": ("msgspec",)}, "needs are missing: msgspec"),
        ({"missing": ("apsw (llmpy[chains])",)}, "Optional packages are not installed: apsw"),
    ],
)
def test_each_weakness_has_advice(
    good: llmpy.Diagnosis, changes: dict[str, object], word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LLMPY_CPU", raising=False)
    (weakness,) = replace(good, **changes).weaknesses  # type: ignore[arg-type]
    assert word in weakness.text
    assert weakness.advice
    assert weakness.advice in str(replace(good, **changes))  # type: ignore[arg-type]


def test_a_level_by_the_environment_is_said(
    good: llmpy.Diagnosis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLMPY_CPU", "avx2")
    (weakness,) = replace(good, level="avx2").weaknesses
    assert "LLMPY_CPU" in weakness.text


def test_without_the_library_it_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LLMPY_LIBRARY", os.fspath(tmp_path / "none.so"))
    ffi.library.cache_clear()
    try:
        found = llmpy.diagnose()
    finally:
        ffi.library.cache_clear()
    assert found.level is None
    assert "none.so" in found.level_reason
    assert found.multiply_rate is None
    assert "cpu" not in found.backends


def linux(root: Path, files: dict[str, str]) -> Path:
    """A folder with files as /proc and /sys have them."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_caches_of_linux(tmp_path: Path) -> None:
    folder = "sys/devices/system/cpu/cpu0/cache"
    root = linux(
        tmp_path,
        {
            f"{folder}/{index}/{name}": text
            for index, values in {
                "index0": ("3", "Unified", "32M", "0-3,8-11"),
                "index1": ("1", "Data", "48K", "0"),
            }.items()
            for name, text in zip(("level", "type", "size", "shared_cpu_list"), values, strict=True)
        },
    )
    first, last = caches(root)
    assert first == Cache(1, "data", 48 << 10, 1)
    assert last == Cache(3, "unified", 32 << 20, 8)
    assert str(last) == "L3 32 MiB shared by 8"


def test_nothing_where_the_system_does_not_tell(tmp_path: Path) -> None:
    assert huge_pages(tmp_path) is None
    assert frequency_governor(tmp_path) is None


def test_huge_pages_of_linux(tmp_path: Path) -> None:
    name = "sys/kernel/mm/transparent_hugepage/enabled"
    assert huge_pages(linux(tmp_path, {name: "always [madvise] never\n"})) == "madvise"
