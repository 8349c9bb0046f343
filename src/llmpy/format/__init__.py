"""Model files: bytes on disk -> metadata and tensors, whatever the container is."""

from llmpy.format.container import ModelFile, TensorInfo, Value
from llmpy.format.gguf import Typed, open_gguf, write_gguf

__all__ = ["ModelFile", "TensorInfo", "Typed", "Value", "open_gguf", "write_gguf"]
