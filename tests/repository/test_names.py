"""Public names: sorted, complete, documented, typed."""

from __future__ import annotations

import ast
import importlib
import inspect
from pathlib import Path

import pytest

import llmpy
from tests.repository import sources

MODULES = [p for p in sources.python_files("src") if sources.exported(p) is not None]
PACKAGES = [p for p in MODULES if p.name == "__init__.py" and p.parent.name != "cli"]


def module_name(path: Path) -> str:
    parts = path.relative_to(sources.PACKAGE.parent).with_suffix("").parts
    return ".".join(p for p in parts if p != "__init__")


def in_order(names: list[str]) -> list[str]:
    """Constants, then classes, then functions, each by the alphabet."""
    return sorted(names, key=lambda n: (0 if n.isupper() else 1 if n[0].isupper() else 2, n))


@pytest.mark.parametrize("path", MODULES, ids=sources.name)
def test_exported_names_are_sorted_once_and_there(path: Path) -> None:
    names = sources.exported(path)
    assert names is not None
    assert names == in_order(list(set(names)))
    module = importlib.import_module(module_name(path))
    assert [n for n in names if not hasattr(module, n)] == []


@pytest.mark.parametrize("path", PACKAGES, ids=sources.name)
def test_a_package_exports_what_its_init_imports_and_defines(path: Path) -> None:
    module = importlib.import_module(module_name(path))
    found = {n.name for n in sources.tree(path).body if isinstance(n, ast.FunctionDef)}
    for node in sources.tree(path).body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(module.__name__):
            found |= {alias.asname or alias.name for alias in node.names}
    public = {n for n in found if n[0] != "_" and not inspect.ismodule(getattr(module, n))}
    assert public <= set(sources.exported(path) or [])


def test_what_one_module_takes_from_another_is_exported_there() -> None:
    hidden = []
    for path in sources.python_files("src"):
        for node in ast.walk(sources.tree(path)):
            if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith("llmpy"):
                continue
            source = sources.PACKAGE.parent.joinpath(*node.module.split("."))
            file = source / "__init__.py" if source.is_dir() else source.with_suffix(".py")
            names = sources.exported(file)
            submodules = {p.stem for p in source.glob("*.py")} | {p.name for p in source.glob("*")}
            for alias in node.names if names is not None else ():
                if alias.name not in {*(names or ()), *submodules}:
                    hidden.append(f"{sources.name(path)} takes {alias.name} from {node.module}")
    assert hidden == []


def test_no_public_name_is_that_of_a_module() -> None:
    """Importing llmpy.NAME would put the module in the place of the name, whatever it was."""
    modules = {p.stem for p in sources.PACKAGE.glob("*.py")}
    modules |= {p.parent.name for p in sources.PACKAGE.glob("*/__init__.py")}
    assert modules & set(llmpy.__all__) == set()


@pytest.mark.parametrize("name", llmpy.__all__)
def test_each_public_name_is_documented(name: str) -> None:
    thing = getattr(llmpy, name)
    documented = thing if inspect.isclass(thing) or inspect.isroutine(thing) else type(thing)
    assert (inspect.getdoc(documented) or "").strip()


def test_the_package_says_that_it_is_typed() -> None:
    assert (sources.PACKAGE / "py.typed").is_file()
