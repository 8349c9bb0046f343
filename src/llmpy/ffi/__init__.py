"""The native library from Python. Nothing else here imports ctypes, or knows an address's type.

`abi` mirrors native/include/llmpy.h; `library()` has its functions, with their types declared.
"""

from llmpy.ffi.load import available, library, library_path
from llmpy.ffi.memory import Memory, address, copy_memory, view
from llmpy.ffi.support import level_names, level_number, weight_types

__all__ = [
    "Memory",
    "address",
    "available",
    "copy_memory",
    "level_names",
    "level_number",
    "library",
    "library_path",
    "view",
    "weight_types",
]
