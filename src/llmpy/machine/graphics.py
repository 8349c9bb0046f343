"""The free memory of graphics cards, as far as drivers tell it without a library of theirs."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

__all__ = ["free_video_memory"]

SECONDS = 5  # that a driver may take to answer
QUESTION = "--query-gpu=pci.device_id,memory.free", "--format=csv,noheader,nounits"


def free_video_memory(
    vendor: int, device: int, *, cards: Path = Path("/sys/class/drm"), nvidia: str = "nvidia-smi"
) -> int | None:
    """Return the free bytes of the card with these numbers of PCI, None where nobody tells.

    Of several equal cards the least. AMD's driver tells it in files, NVIDIA's by a program.
    """
    found = [*_of_files(vendor, device, cards), *_of_nvidia(vendor, device, nvidia)]
    return min(found, default=None)


def _of_files(vendor: int, device: int, cards: Path) -> Iterator[int]:
    for card in sorted(cards.glob("card[0-9]*/device")):
        try:
            numbers = [int((card / name).read_text(), 16) for name in ("vendor", "device")]
            total, used = (
                int((card / f"mem_info_vram_{name}").read_text()) for name in ("total", "used")
            )
        except (OSError, ValueError):  # no card, or a driver that does not say
            continue
        if numbers == [vendor, device]:
            yield max(0, total - used)


def _of_nvidia(vendor: int, device: int, program: str) -> Iterator[int]:
    if vendor != 0x10DE:
        return
    try:
        done = subprocess.run(
            [program, *QUESTION], capture_output=True, text=True, timeout=SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return
    for line in done.stdout.splitlines():
        number, _, mebibytes = line.partition(",")
        try:
            if int(number, 16) == device << 16 | vendor:
                yield int(mebibytes) << 20
        except ValueError:  # "[N/A]"
            continue
