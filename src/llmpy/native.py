"""Finds and loads the compiled library, once; nothing else here knows where it lies.

A wheel carries it inside the package, in `_native`. The environment variable LLMPY_LIBRARY names
another one, such as a build with sanitizers. Each module that calls a function declares its types.
"""

from __future__ import annotations

import ctypes
import functools
import os
import sys
from pathlib import Path

from llmpy.errors import BackendError

__all__ = ["ABI_VERSION", "available", "library", "library_path"]

ABI_VERSION = 9  # what the native interface must report; raised with every incompatible change

_NAMES = {"win32": "llmpy.dll", "darwin": "libllmpy.dylib"}
_HINT = 'Reinstall the llmpy wheel for this platform, or use backend="reference".'


def library_path() -> Path:
    """Where the library is looked for: LLMPY_LIBRARY if that is set, else inside the package."""
    chosen = os.environ.get("LLMPY_LIBRARY")
    if chosen:
        return Path(chosen)
    return Path(__file__).parent / "_native" / _NAMES.get(sys.platform, "libllmpy.so")


@functools.cache
def library() -> ctypes.CDLL:
    """The compiled library, loaded on the first call.

    Raises BackendError when it is missing, cannot be loaded, or was built for another llmpy.
    """
    path = library_path()
    if not path.is_file():
        raise BackendError(f"compiled library: expected at {path}, found no such file. {_HINT}")
    try:
        loaded = ctypes.CDLL(str(path.resolve()))
    except OSError as error:
        raise BackendError(f"compiled library {path} cannot be loaded: {error}. {_HINT}") from error
    try:
        version_of = loaded.llmpy_abi_version
    except AttributeError:
        raise BackendError(
            f"compiled library {path}: expected the function llmpy_abi_version, found none. {_HINT}"
        ) from None
    version_of.argtypes = []
    version_of.restype = ctypes.c_int32
    version = version_of()
    if version != ABI_VERSION:
        raise BackendError(
            f"compiled library {path}: expected interface {ABI_VERSION}, found {version}. {_HINT}"
        )
    return loaded


def available() -> bool:
    """Whether `library()` succeeds."""
    try:
        library()
    except BackendError:
        return False
    return True
