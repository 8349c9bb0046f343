"""Engine and sessions use of each other what is public, and the engine alone runs plans."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.repository import sources

FOLDERS = ("engine", "session")


def private_reaches(path: Path) -> list[str]:
    """Every use of a private attribute of an object other than `self` or `cls`."""
    found = []
    for node in ast.walk(sources.tree(path)):
        if not isinstance(node, ast.Attribute) or not node.attr.startswith("_"):
            continue
        own = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
        if not own and not node.attr.startswith("__"):
            found.append(f"{sources.name(path)}:{node.lineno}: {ast.unparse(node)}")
    return found


def runs_of_plans(path: Path) -> list[str]:
    """Every use of `run` or `generate` of something called a plan."""
    found = []
    for node in ast.walk(sources.tree(path)):
        match node:
            case ast.Attribute(attr="run" | "generate", value=value):
                pass
            case ast.Call(
                func=ast.Name(id="getattr"),
                args=[value, ast.Constant(value="run" | "generate"), *_],
            ):
                pass
            case _:
                continue
        if ast.unparse(value).rsplit(".", 1)[-1].strip("_") == "plan":
            found.append(f"{sources.name(path)}: {ast.unparse(node)}")
    return found


def test_no_class_reaches_into_another() -> None:
    paths = [path for folder in FOLDERS for path in (sources.PACKAGE / folder).rglob("*.py")]
    assert len(paths) > 15
    assert [reach for path in paths for reach in private_reaches(path)] == []


def test_the_engine_alone_runs_plans() -> None:
    others = ("testing.py", "products.py", "self_check.py")  # that check and time backends
    paths = [path for path in sources.python_files("src") if path.name not in others]
    found = [use for path in paths for use in runs_of_plans(path)]
    assert found == [
        "src/llmpy/backends/split/plan.py: plan.run",  # the parts of its own
        "src/llmpy/engine/batch_steps.py: engine.plan.run",
        "src/llmpy/engine/engine.py: getattr(self.plan, 'generate', None)",
        "src/llmpy/engine/engine.py: self.plan.run",
    ]
