"""How much memory is left where control groups of Linux limit it, however they are nested."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmpy.machine import memory

MIB = 1 << 20


def group(folder: Path, names: tuple[str, ...], numbers: tuple[object, ...], stat: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, number in zip(names, numbers, strict=True):
        (folder / name).write_text(f"{number}\n")
    (folder / "memory.stat").write_text(stat)


def version_2(folder: Path, most: object, used: int, cache: int = 0, high: object = "max") -> None:
    names = ("memory.max", "memory.high", "memory.current")
    group(folder, names, (most, high, used), f"anon 7\ninactive_file {cache}\n")


def version_1(folder: Path, most: int, used: int, cache: int = 0) -> None:
    stat = f"inactive_file 1\ntotal_inactive_file {cache}\n"
    group(folder, ("memory.limit_in_bytes", "memory.usage_in_bytes"), (most, used), stat)


def left(root: Path, lines: str) -> int | None:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(lines)
    return memory.group_memory_left(root)


@pytest.mark.parametrize("own", [("max", 30 * MIB), (200 * MIB, 30 * MIB)], ids=str)
def test_the_limit_of_an_outer_group_counts(tmp_path: Path, own: tuple[object, int]) -> None:
    groups = tmp_path / "sys/fs/cgroup"
    version_2(groups / "user.slice", 100 * MIB, 60 * MIB)
    version_2(groups / "user.slice/app", *own)
    assert left(tmp_path, "0::/user.slice/app\n") == 40 * MIB


def test_the_limit_of_the_own_group_counts(tmp_path: Path) -> None:
    groups = tmp_path / "sys/fs/cgroup"
    version_2(groups / "a", 500 * MIB, 60 * MIB)
    version_2(groups / "a/b", 100 * MIB, 60 * MIB)
    assert left(tmp_path, "0::/a/b\n") == 40 * MIB


def test_what_a_group_is_slowed_at_is_its_limit(tmp_path: Path) -> None:
    version_2(tmp_path / "sys/fs/cgroup/a", 500 * MIB, 60 * MIB, high=100 * MIB)
    assert left(tmp_path, "0::/a\n") == 40 * MIB


def test_file_cache_can_be_taken(tmp_path: Path) -> None:
    version_2(tmp_path / "sys/fs/cgroup/a", 100 * MIB, 60 * MIB, cache=20 * MIB)
    assert left(tmp_path, "0::/a\n") == 60 * MIB


def test_nested_groups_of_version_1(tmp_path: Path) -> None:
    groups = tmp_path / "sys/fs/cgroup/memory"
    version_1(groups / "docker", 100 * MIB, 60 * MIB, cache=5 * MIB)
    version_1(groups / "docker/job", 1 << 62, MIB)
    assert left(tmp_path, "9:cpu:/other\n4:memory:/docker/job\n0::/\n") == 45 * MIB


def test_a_container_sees_its_group_at_the_top(tmp_path: Path) -> None:
    version_2(tmp_path / "sys/fs/cgroup", 100 * MIB, 60 * MIB)
    assert left(tmp_path, "0::/a/path/of/the/host\n") == 40 * MIB


def test_more_used_than_allowed_leaves_nothing(tmp_path: Path) -> None:
    version_2(tmp_path / "sys/fs/cgroup/a", 100 * MIB, 160 * MIB)
    assert left(tmp_path, "0::/a\n") == 0


def test_no_limit(tmp_path: Path) -> None:
    version_2(tmp_path / "sys/fs/cgroup/a", "max", 60 * MIB)
    assert left(tmp_path, "0::/a\n") is None
    assert memory.group_memory_left(tmp_path / "nowhere") is None
