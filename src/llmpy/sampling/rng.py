"""Random numbers for sampling: a function of (seed, counter), and nothing else.

So a snapshot of a generator is two integers, and Python and the native sampler agree bit for bit.
The function is the finaliser of SplitMix64 (Steele, Lea and Flood 2014), once over the seed and
once over the counter.
"""

from __future__ import annotations

import operator
import os

from llmpy.errors import SamplerError

__all__ = ["Rng"]

_MASK = 2**64 - 1
_GOLDEN = 0x9E3779B97F4A7C15


def _mix(z: int) -> int:
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return z ^ (z >> 31)


def _number(base: int, counter: int) -> float:
    return (_mix((base + (counter + 1) * _GOLDEN) & _MASK) >> 11) * 2.0**-53


class Rng:
    """The random number generator of a session; each sampled token takes one number.

    `seed` is 0 <= seed < 2**64, or None for one from the operating system. `counter` is how many
    numbers were drawn: `Rng(rng.seed, rng.counter)` continues from the state of `rng`. Raises
    SamplerError if one is out of range.
    """

    __slots__ = ("counter", "seed")

    def __init__(self, seed: int | None = None, counter: int = 0) -> None:
        chosen = int.from_bytes(os.urandom(8), "little") if seed is None else seed
        self.seed = _uint64("seed", chosen)
        self.counter = _uint64("counter", counter)

    def peek(self, stream: int = 0) -> float:
        """Return the number that `uniform` will return next; each `stream` has another one."""
        base = _mix((self.seed + _GOLDEN) & _MASK)
        base = _mix((base + stream) & _MASK) if stream else base
        return _number(base, self.counter)

    def ahead(self, n: int) -> list[float]:
        """Return the next `n` numbers without drawing them."""
        base = _mix((self.seed + _GOLDEN) & _MASK)
        return [_number(base, self.counter + i) for i in range(n)]

    def uniform(self) -> float:
        """Draw and return the next number, 0 <= u < 1, a multiple of 2**-53."""
        u = self.peek()
        self.advance()
        return u

    def advance(self, n: int = 1) -> None:
        """Skip `n` numbers."""
        self.counter = (self.counter + n) & _MASK

    def __repr__(self) -> str:
        return f"Rng(seed={self.seed}, counter={self.counter})"


def _uint64(name: str, value: int) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        number = -1
    if not 0 <= number <= _MASK:
        raise SamplerError(f"{name}: expected an integer from 0 to 2**64 - 1, found {value!r}")
    return number
