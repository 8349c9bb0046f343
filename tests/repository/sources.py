"""The project's own files, and what they import, for the tests of the repository."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "llmpy"
FOLDERS = ("src", "native", "tests", "tools", "bench", "examples", "docs", "integrations")
TEXT = {".py", ".md", ".toml", ".txt", ".h", ".cpp", ".inl", ".cmake", ".c"}
BUILT = {"__pycache__", "_native", "build"}


def project_files() -> list[Path]:
    """Every text file that belongs to the project, whether or not git is at hand."""
    found = [p for p in ROOT.iterdir() if p.is_file() and p.suffix in TEXT]
    for folder in FOLDERS:
        found += [p for p in (ROOT / folder).rglob("*") if p.suffix in TEXT and p.is_file()]
    return sorted(p for p in found if BUILT.isdisjoint(p.relative_to(ROOT).parts))


def python_files(*folders: str) -> list[Path]:
    """The Python files of some folders."""
    return [
        p
        for p in project_files()
        if p.suffix == ".py" and p.relative_to(ROOT).parts[0] in (folders or FOLDERS)
    ]


def name(path: Path) -> str:
    """A file by its path from the root, as the same words on every system."""
    return path.relative_to(ROOT).as_posix()


@cache
def tree(path: Path) -> ast.Module:
    """A Python file, parsed."""
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imports(path: Path) -> set[str]:
    """Full names of the modules that a file imports anywhere; `from llmpy import x` is llmpy.x."""
    found = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name(path)}: relative imports hide the layers"
            assert node.module is not None
            if node.module == "llmpy":
                found |= {f"llmpy.{alias.name}" for alias in node.names}
            else:
                found.add(node.module)
    return found


def exported(path: Path) -> list[str] | None:
    """The names in `__all__`, None where a module has none."""
    for node in tree(path).body:
        if (
            isinstance(node, ast.Assign)
            and isinstance(node.targets[0], ast.Name)
            and node.targets[0].id == "__all__"
        ):
            names: list[str] = ast.literal_eval(node.value)
            return names
    return None
