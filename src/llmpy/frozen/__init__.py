"""For PyInstaller, which asks installed packages for their hooks: see docs/packaging.md."""

from pathlib import Path

__all__ = ["PROCESSES", "hook_dirs"]

# Modules that llmpy runs as processes of their own. A frozen program has no Python that could:
# it runs them itself, by rthooks/pyi_rth_llmpy.py.
PROCESSES = ("llmpy.apps.anywhere.selections", "llmpy.apps.anywhere.window")


def hook_dirs() -> list[str]:
    """Return the folder of the hook, as the entry point `pyinstaller40` must."""
    return [str(Path(__file__).parent)]
