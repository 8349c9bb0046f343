"""Models whose mixtures are compared with another engine's, and digests of their types."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from tools.random_gguf import Shape

GOLDENS = Path(__file__).parent / "mixtures.json"
SHAPES = {
    "moe8": Shape(256, 24, 8, 4, 256, 320, 256, n_expert=8, n_used=2),
    "gqa": Shape(256, 32, 8, 1, 512, 320, 256),
    "narrow": Shape(288, 6, 6, 6, 768, 320, 256),
}
KINDS = [
    "Q4_0",
    "Q5_0",
    "Q8_0",
    "Q2_K",
    "Q3_K_S",
    "Q3_K_M",
    "Q3_K_L",
    "Q4_K_S",
    "Q4_K_M",
    "Q5_K_S",
    "Q5_K_M",
    "Q6_K",
    "IQ4_NL",
    "IQ4_XS",
]


def digest(types: Mapping[str, str]) -> str:
    """Of tensor names and their types."""
    lines = "\n".join(f"{name} {types[name]}" for name in sorted(types))
    return hashlib.sha256(lines.encode()).hexdigest()[:16]
