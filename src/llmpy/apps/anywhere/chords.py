"""Chords: keys that are pressed together, written as `ctrl+alt+space`."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["FUNCTION_KEYS", "MODIFIERS", "Chord", "chord", "keysym"]

MODIFIERS = {"ctrl": "CTRL", "alt": "ALT", "shift": "SHIFT", "super": "LOGO"}  # as portals write
ALIASES = {"control": "ctrl", "option": "alt", "cmd": "super", "command": "super", "win": "super"}
FUNCTION_KEYS = {f"f{n}": (f"F{n}", 0xFFBD + n) for n in range(1, 25)}
KEYS = {  # the names and numbers of X and xkb
    "space": ("space", 0x20),
    "backspace": ("BackSpace", 0xFF08),
    "tab": ("Tab", 0xFF09),
    "enter": ("Return", 0xFF0D),
    "esc": ("Escape", 0xFF1B),
    "home": ("Home", 0xFF50),
    "left": ("Left", 0xFF51),
    "up": ("Up", 0xFF52),
    "right": ("Right", 0xFF53),
    "down": ("Down", 0xFF54),
    "page_up": ("Prior", 0xFF55),
    "page_down": ("Next", 0xFF56),
    "end": ("End", 0xFF57),
    "insert": ("Insert", 0xFF63),
    "delete": ("Delete", 0xFFFF),
    "pause": ("Pause", 0xFF13),
    **FUNCTION_KEYS,
}


class Chord(NamedTuple):
    """Modifiers, sorted, and one key: a character, or a name of `KEYS`."""

    modifiers: tuple[str, ...]
    key: str

    def __str__(self) -> str:
        return "+".join((*self.modifiers, self.key))

    @property
    def keysym(self) -> int:
        """The number that X and xkb give the key."""
        return KEYS[self.key][1] if self.key in KEYS else keysym(self.key)

    @property
    def trigger(self) -> str:
        """The chord as the shortcuts specification of freedesktop.org writes it."""
        name = KEYS[self.key][0] if self.key in KEYS else self.key
        return "+".join((*(MODIFIERS[one] for one in self.modifiers), name))


def chord(text: str) -> Chord:
    """Read a chord; ValueError says what of it is no key."""
    *before, key = [part.strip() for part in text.lower().split("+")]
    modifiers = {ALIASES.get(one, one) for one in before}
    if not modifiers <= MODIFIERS.keys() or not (len(key) == 1 or key in KEYS):
        raise ValueError(
            f"expected keys like ctrl+alt+space: any of {', '.join(MODIFIERS)}, then a character "
            f"or one of {', '.join(list(KEYS)[:16])}, f1 to f24; found {text!r}"
        )
    return Chord(tuple(one for one in MODIFIERS if one in modifiers), key)


def keysym(character: str) -> int:
    """Return the number that X and xkb give a character."""
    code = ord(character)
    return code if 0x20 <= code <= 0x7E or 0xA0 <= code <= 0xFF else 0x1000000 + code
