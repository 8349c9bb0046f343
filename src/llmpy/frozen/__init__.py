"""For PyInstaller, which asks installed packages for their hooks: see docs/packaging.md."""

from pathlib import Path

__all__ = ["hook_dirs"]


def hook_dirs() -> list[str]:
    """Return the folder of the hook, as the entry point `pyinstaller40` must."""
    return [str(Path(__file__).parent)]
