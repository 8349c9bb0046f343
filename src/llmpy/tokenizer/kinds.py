"""What a token is."""

from __future__ import annotations

from enum import IntEnum

__all__ = ["BYTE_TOKENS", "Kind"]

BYTE_TOKENS = {f"<0x{byte:02X}>": byte for byte in range(256)}


class Kind(IntEnum):
    """What a token is, with the numbers of `tokenizer.ggml.token_type`."""

    UNDEFINED = 0
    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6
