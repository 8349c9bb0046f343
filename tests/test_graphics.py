"""The free memory of graphics cards, from what drivers of AMD and NVIDIA say."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from llmpy.machine.graphics import free_video_memory

AMD, NVIDIA = (0x1002, 0x744C), (0x10DE, 0x2684)
NONE = "/nowhere/nvidia-smi"


@pytest.fixture
def cards(tmp_path: Path) -> Path:
    """Two equal cards of AMD, and one whose driver does not tell."""
    for name, used in (("card0", "400"), ("card1", "900")):
        values = "0x1002", "0x744c", "1000", used
        (tmp_path / name / "device").mkdir(parents=True)
        files = ("vendor", "device", "mem_info_vram_total", "mem_info_vram_used")
        for file, value in zip(files, values, strict=True):
            (tmp_path / name / "device" / file).write_text(f"{value}\n")
    (tmp_path / "card2" / "device").mkdir(parents=True)
    (tmp_path / "card2" / "device" / "vendor").write_text("0x10de\n")
    return tmp_path


def smi(folder: Path, lines: str) -> str:
    program = folder / "nvidia-smi"
    program.write_text(f"#!{sys.executable}\nprint('''{lines}''')\n")
    program.chmod(0o755)
    return str(program)


def test_files_tell_what_is_free_of_the_fuller_card(cards: Path) -> None:
    assert free_video_memory(*AMD, cards=cards, nvidia=NONE) == 100


def test_another_card_is_not_meant(cards: Path) -> None:
    assert free_video_memory(0x1002, 1, cards=cards, nvidia=NONE) is None


@pytest.mark.skipif(sys.platform == "win32", reason="a script with #!")
def test_a_program_tells_for_nvidia(cards: Path, tmp_path: Path) -> None:
    said = "0x268410DE, 24000\n0x268410DE, [N/A]\n0x222210DE, 5\nnonsense"
    found = free_video_memory(*NVIDIA, cards=cards, nvidia=smi(tmp_path, said))
    assert found == 24000 << 20


@pytest.mark.skipif(sys.platform == "win32", reason="a script with #!")
def test_a_program_that_fails_tells_nothing(tmp_path: Path) -> None:
    program = smi(tmp_path, "")
    Path(program).write_text(f"#!{sys.executable}\nraise SystemExit(3)\n")
    assert free_video_memory(*NVIDIA, cards=tmp_path, nvidia=program) is None
    assert free_video_memory(*NVIDIA, cards=tmp_path, nvidia=NONE) is None
