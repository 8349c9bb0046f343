"""The 256 characters that stand for bytes in the vocabularies of byte-level byte-pair encoding.

A printable Latin-1 character stands for itself; every other byte gets, in order, the characters
from U+0100 on. Source: the encoder published with GPT-2.
"""

from __future__ import annotations

__all__ = ["BYTE_OF", "CHARACTERS", "from_characters", "to_characters"]

_PRINTABLE = (range(0x21, 0x7F), range(0xA1, 0xAD), range(0xAE, 0x100))


def _characters() -> str:
    """The character of each byte, at the byte's place."""
    characters = []
    after = 0x100
    for byte in range(256):
        if any(byte in span for span in _PRINTABLE):
            characters.append(chr(byte))
        else:
            characters.append(chr(after))
            after += 1
    return "".join(characters)


CHARACTERS: str = _characters()
BYTE_OF: dict[str, int] = {character: byte for byte, character in enumerate(CHARACTERS)}


def to_characters(raw: bytes) -> str:
    """One character for each byte."""
    return "".join(CHARACTERS[byte] for byte in raw)


def from_characters(token: str) -> bytes:
    """The bytes of a vocabulary string; what is outside the alphabet stands for its own UTF-8."""
    try:
        return bytes([BYTE_OF[character] for character in token])
    except KeyError:
        pass
    return b"".join(
        bytes([BYTE_OF[character]])
        if character in BYTE_OF
        else character.encode("utf-8", "surrogateescape")
        for character in token
    )
