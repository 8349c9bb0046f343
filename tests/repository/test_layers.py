"""Imports point only downward: each package names the packages below that it may use."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

from tests.repository import sources

GROUND = {"checks", "dtypes", "errors", "ffi", "log", "machine", "process", "strings"}
LAYER_1 = {"format", "quant", "tokenizer", "sampling"}
MIDDLE = GROUND | LAYER_1 | {"graph", "arch", "backends"}
MAY_USE = {
    "errors": set(),
    "dtypes": {"errors"},
    "checks": set(),
    "log": set(),
    "process": set(),
    "ffi": {"dtypes", "errors"},
    "machine": {"checks", "errors", "ffi"},
    "strings": {"errors", "ffi"},
    **dict.fromkeys(LAYER_1, GROUND),
    "graph": {"dtypes", "errors"},
    "arch": {"graph", "dtypes", "errors"},
    "backends": {"graph", "quant"} | GROUND,
    "hub": GROUND,
    "checkpoint": MIDDLE | {"hub", "quantization", "runnable"},
    "runnable": MIDDLE,
    "overrides": MIDDLE | {"checkpoint"},
    "frozen": set(),
    "diagnosis": MIDDLE | {"engine", "hub"},
    "planning": MIDDLE | {"checkpoint", "wiring"},
    "restoring": MIDDLE | {"chat", "session"},
    "wiring": MIDDLE | {"overrides", "runnable", "session"},
    "constraints": {"tokenizer"} | GROUND,
    "engine": {"backends", "constraints", "sampling"} | GROUND,
    "session": MIDDLE | {"constraints", "engine"},
    "testing": MIDDLE | {"engine"},
    "tools": {"constraints", "session", "tokenizer"} | GROUND,
    "chat": {"constraints", "sampling", "session", "tokenizer", "tools"} | GROUND,
    "model": MIDDLE
    | {"chat", "checkpoint", "constraints", "engine", "planning", "restoring", "session"},
    "loading": MIDDLE
    | {"chat", "checkpoint", "engine", "model", "overrides", "planning", "session", "wiring"},
    "quantization": MIDDLE | {"checkpoint", "loading", "model"},
    "server": MIDDLE
    | {
        "chat",
        "checkpoint",
        "constraints",
        "hub",
        "engine",
        "loading",
        "model",
        "session",
        "tools",
    },
    "__init__": MIDDLE
    | {
        "chat",
        "checkpoint",
        "constraints",
        "diagnosis",
        "engine",
        "hub",
        "loading",
        "model",
        "planning",
        "quantization",
        "server",
        "session",
        "tools",
    },
    "chains": {""},  # the public names of llmpy
    "apps": {"", "chains", "server"},  # public names too
    "cli": {"", "apps", "chains"},
    "__main__": {"cli"},
}
SHARED = (  # by architectures
    "base",
    "blocks",
    "checkpoint",
    "classification",
    "config",
    "defaults",
    "experts",
    "rope_config",
    "rotary",
)
MODULES = sources.python_files("src")
INSTALLED_WITH_IT = {
    "click",
    "filelock",
    "huggingface_hub",
    "jinja2",
    "llguidance",
    "markdown_it",
    "msgspec",
    "numpy",
    "platformdirs",
    "prompt_toolkit",
    "pygments",
    "rich",
    "tokenizers",
    "uvicorn",
}
OPTIONAL = {  # imported where they are used, with a word on how to install them
    "PyInstaller",  # imports its hook
    "Xlib",
    "aiohttp",  # comes with discord.py
    "apsw",
    "dbus_fast",
    "discord",
    "pynput",
    "pyperclip",
    "sqlite_vec",
    "wgpu",
    "yaml",
    "zstandard",
}


def package(path: Path) -> str:
    return path.relative_to(sources.PACKAGE).parts[0].removesuffix(".py")


def used_packages(path: Path) -> set[str]:
    """The packages that a file imports from; "" is the package itself."""
    names = {n for n in sources.imports(path) if n.split(".")[0] == "llmpy"}
    return {n.split(".")[1] if "." in n else "" for n in names}


def test_each_package_has_its_layer() -> None:
    assert {package(path) for path in MODULES} <= MAY_USE.keys(), (
        "give a new package a line in MAY_USE"
    )


def test_imports_point_downward() -> None:
    upward = {}
    for path in MODULES:
        if wrong := used_packages(path) - {package(path)} - MAY_USE.get(package(path), set()):
            upward[sources.name(path)] = wrong
    assert upward == {}


def test_architectures_share_parts_and_never_import_each_other() -> None:
    for path in (sources.PACKAGE / "arch").glob("*.py"):
        used = {n for n in sources.imports(path) if n.startswith("llmpy.arch")}
        shared = {f"llmpy.arch.{part}" for part in SHARED}
        assert used <= shared, sources.name(path)


def names_ctypes(path: Path) -> bool:
    """Whether a file imports ctypes, or reaches for it through NumPy."""
    used = {node.attr for node in ast.walk(sources.tree(path)) if isinstance(node, ast.Attribute)}
    roots = {name.split(".")[0] for name in sources.imports(path)}
    return bool({"ctypes", "_ctypes"} & roots or {"ctypes", "ctypeslib"} & used)


def test_only_ffi_names_ctypes() -> None:
    assert {package(path) for path in MODULES if names_ctypes(path)} == {"ffi"}


def test_only_the_command_line_uses_click() -> None:
    users = {package(path) for path in MODULES if "click" in sources.imports(path)}
    assert users == {"cli"}


def test_nothing_is_imported_that_is_not_installed_with_the_package() -> None:
    for path in MODULES:
        outside = {n.split(".")[0] for n in sources.imports(path)} - {"llmpy"}
        assert outside - sys.stdlib_module_names <= INSTALLED_WITH_IT | OPTIONAL, sources.name(path)


def test_torch_is_imported_only_where_goldens_are_made_or_a_model_is_trained() -> None:
    users = {
        sources.name(p)
        for p in sources.python_files()
        if "torch" in {n.split(".")[0] for n in sources.imports(p)}
    }
    users = {name for name in users if not name.startswith("tools/dates/")}
    assert users <= {"tools/make_goldens.py", "tools/make_logit_goldens.py"}
