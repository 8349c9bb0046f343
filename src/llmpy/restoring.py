"""Restoring snapshots: sessions and chats that go on where saved ones were."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from llmpy import checks
from llmpy.sampling import Chain, Rng, Sampler, checked_chain
from llmpy.session.asynchronous import in_thread
from llmpy.session.overflow import Overflow, checked_overflow
from llmpy.session.reading import Reader
from llmpy.session.session import Session

if TYPE_CHECKING:
    from llmpy.chat import Chat
    from llmpy.session.snapshot import Snapshot

__all__ = ["OVERFLOWS", "Restorer"]

OVERFLOWS = Overflow.ERROR, Overflow.SHIFT  # of a session


class Restorer(Reader):
    """The methods of `Model` that load saved sessions and chats."""

    def load_session(
        self,
        path: str | os.PathLike[str],
        *,
        sampler: Chain | Sampler | str | None = None,
        seed: int | None = None,
        overflow: Overflow | str | Callable[..., Any] | None = None,
        recompute: bool = False,
    ) -> Session:
        """Return the session that `Session.save` wrote.

        Without another `sampler`, `seed` or `overflow` it generates the same text, bit for bit.
        `recompute`: compute all tokens again if the layout of keys and values differs here (another
        backend, `kv_dtype` or instruction set), which is an error otherwise. Raises SnapshotError
        for a file that is not a saved session, is damaged, or is of another model, version or
        configuration.
        """
        with _opened(path) as snapshot:
            return self._begun(snapshot, sampler, seed, overflow, recompute)

    def _begun(
        self,
        snapshot: Snapshot,
        sampler: Chain | Sampler | str | None,
        seed: int | None,
        overflow: Overflow | str | Callable[..., Any] | None,
        recompute: bool,
    ) -> Session:
        from llmpy.session.saved import begin_saved  # which takes a while to import

        self._engine.check_open()
        checks.flag("recompute", recompute)
        if overflow is not None:
            overflow = checked_overflow(overflow, *OVERFLOWS, where="a session")
        transcript = begin_saved(
            snapshot,
            self._engine,
            self.tokenizer,
            self.saved,
            sampler=None if sampler is None else checked_chain(sampler),
            rng=None if seed is None else Rng(seed),
            overflow=overflow,
            recompute=recompute,
        )
        return Session(transcript, self)

    def load_chat(
        self,
        path: str | os.PathLike[str],
        *,
        template: str | None = None,
        sampler: Chain | Sampler | str | None = None,
        seed: int | None = None,
        recompute: bool = False,
    ) -> Chat:
        """Return the chat that `Chat.save` wrote: its messages, settings, and session.

        A `template` replaces the saved one; the other options are those of `load_session`.
        """
        from llmpy.chat import Chat, chosen_template

        chosen = template and chosen_template(self.metadata, self.tokenizer, template)
        with _opened(path) as snapshot:
            session = self._begun(snapshot, sampler, seed, None, recompute)
            try:
                state = snapshot.about.get("chat")
                return Chat.loaded(session, state, chosen or None, snapshot.refuse)
            except BaseException:
                session.close()
                raise

    async def aload_session(
        self,
        path: str | os.PathLike[str],
        *,
        sampler: Chain | Sampler | str | None = None,
        seed: int | None = None,
        overflow: Overflow | str | Callable[..., Any] | None = None,
        recompute: bool = False,
    ) -> Session:
        """Run `load_session` in asyncio; when cancelled, it waits until the session is loaded."""
        options: dict[str, Any] = {"sampler": sampler, "seed": seed, "overflow": overflow}
        return await in_thread(lambda: self.load_session(path, recompute=recompute, **options))


@contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[Snapshot]:
    from llmpy.session.snapshot import open_snapshot  # which takes a while to import

    snapshot = open_snapshot(checks.path("path", path))
    with closing(snapshot.file):
        yield snapshot
