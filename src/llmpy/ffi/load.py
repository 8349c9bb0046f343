"""Finds and loads the compiled library, once; nothing else here knows where it lies.

A wheel carries it inside the package, in `_native`. The environment variable LLMPY_LIBRARY names
another one, such as a build with sanitizers.
"""

from __future__ import annotations

import ctypes
import functools
import os
import sys
from pathlib import Path
from typing import Any

from llmpy.errors import BackendError
from llmpy.ffi.abi import ABI_VERSION, FUNCTIONS

__all__ = ["available", "library", "library_path"]

_NAMES = {"win32": "llmpy.dll", "darwin": "libllmpy.dylib"}
_HINT = 'Reinstall the llmpy wheel for this platform, or use backend="reference".'


def library_path() -> Path:
    """Return the path of the library: LLMPY_LIBRARY if that is set, else inside the package."""
    chosen = os.environ.get("LLMPY_LIBRARY")
    if chosen:
        return Path(chosen)
    return Path(__file__).parents[1] / "_native" / _NAMES.get(sys.platform, "libllmpy.so")


@functools.cache
def library() -> Any:
    """The compiled library, loaded on the first call, with the functions of `abi` as attributes.

    Raises BackendError when it is missing, cannot be loaded, or was built for another llmpy.
    """
    path = library_path()
    if not path.is_file():
        raise BackendError(f"compiled library: expected at {path}, found no such file. {_HINT}")
    try:
        loaded = ctypes.CDLL(str(path.resolve()))
    except OSError as error:
        raise BackendError(f"compiled library {path} cannot be loaded: {error}. {_HINT}") from error
    # The version is looked at first: another one may lack functions, or mean others by their names.
    _declare(path, loaded, "llmpy_abi_version")
    version = loaded.llmpy_abi_version()
    if version != ABI_VERSION:
        raise BackendError(
            f"compiled library {path}: expected interface {ABI_VERSION}, found {version}. {_HINT}"
        )
    for name in FUNCTIONS:
        _declare(path, loaded, name)
    return loaded


def available() -> bool:
    """Whether `library()` succeeds."""
    try:
        library()
    except BackendError:
        return False
    return True


def _declare(path: Path, loaded: ctypes.CDLL, name: str) -> None:
    """Tell ctypes the types of a function."""
    try:
        function = getattr(loaded, name)
    except AttributeError:
        raise BackendError(
            f"compiled library {path}: expected the function {name}, found none. {_HINT}"
        ) from None
    function.restype, function.argtypes = FUNCTIONS[name]
