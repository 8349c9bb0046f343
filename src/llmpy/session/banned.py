"""Texts that must not come: tokens that made one are taken back, and another way is taken.

No token by itself is a banned text. So generated tokens are held back while their text may become
one. Where it does, the sequence is cut before the token in which the text begins, that token is
forbidden there, and generation goes on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llmpy.session.token_options import PLAIN, Generated, TokenOptions

if TYPE_CHECKING:
    from llmpy.session.transcript import Transcript

__all__ = ["Banned", "next_allowed"]


class Banned:
    """Generated tokens that are held back, and what must not come after the text so far.

    `held` are tokens with the length of the sequence before each.
    """

    def __init__(self, strings: tuple[str, ...]) -> None:
        self.strings = strings
        self.held: list[tuple[int, Generated]] = []
        self._forbidden: dict[int, set[int]] = {}
        self._longest = max(map(len, strings), default=0)

    def __bool__(self) -> bool:
        return bool(self.strings)

    def new(self) -> Banned:
        """Return one for another stream."""
        return Banned(self.strings)

    def forbidden(self, n: int) -> frozenset[int]:
        """Return the tokens that must not come next in a sequence of `n` tokens."""
        return frozenset(self._forbidden.get(n, ()))

    def add(self, n: int, generated: Generated) -> int | None:
        """Note a token that came after `n`; return where to go back to, or None."""
        self.held.append((n, generated))
        text = "".join(one.text for _, one in self.held)
        begins = [at for at in map(text.find, self.strings) if at >= 0]
        if not begins:
            return None
        first, end = 0, 0
        for i, (_, one) in enumerate(self.held):
            end += len(one.text)
            if end > min(begins):
                first = i
                break
        at, one = self.held[first]
        del self.held[first:]
        self._forbidden = {n: ids for n, ids in self._forbidden.items() if n <= at}
        self._forbidden.setdefault(at, set()).add(one.token)
        return at

    def shown(self) -> list[Generated]:
        """Return the tokens that need not be held back any more."""
        text = "".join(one.text for _, one in self.held)
        keep = self._possible(text)
        end, n = 0, 0
        for _, one in self.held:
            end += len(one.text)
            if end > len(text) - keep:
                break
            n += 1
        shown = [one for _, one in self.held[:n]]
        del self.held[:n]
        if not self.held:
            self._forbidden.clear()
        return shown

    def rest(self) -> list[Generated]:
        """Return all that is held, at the end of a text."""
        rest = [one for _, one in self.held]
        self.held.clear()
        return rest

    def _possible(self, text: str) -> int:
        """Length of the longest end of the text that begins one of the strings."""
        for n in range(min(self._longest - 1, len(text)), 0, -1):
            if any(string.startswith(text[-n:]) for string in self.strings):
                return n
        return 0


def next_allowed(
    transcript: Transcript, viewer: Any, generated: Generated, options: TokenOptions = PLAIN
) -> Generated:
    """Return the token that was just appended, or another where it completes a banned text.

    For callers that cannot take more than the last token back.
    """
    if not transcript.banned:
        return generated
    tokens, forbidden = transcript.sequence.tokens, set(options.forbidden)
    longest = max(map(len, transcript.banned.strings))
    while True:
        n = tokens.length
        begin = max(transcript.n_fed, n - 2 * longest - 16)
        decoder = transcript.tokenizer.decoder(start=begin == 0)
        texts = [decoder(token) for token in tokens.part(begin, n).tolist()]
        text, before = "".join(texts), len("".join(texts[:-1]))
        ends = [at + len(s) for s in transcript.banned.strings for at in _places(text, s)]
        if not any(end > before for end in ends):
            return generated
        forbidden.add(generated.token)
        transcript.rewind(n - 1)
        generated = transcript.next(viewer, options.without(forbidden))


def _places(text: str, string: str) -> list[int]:
    found, at = [], text.find(string)
    while at >= 0:
        found.append(at)
        at = text.find(string, at + 1)
    return found
