"""asyncio over the same generators: one thread steps one of them, for as long as it lasts.

Whoever calls a coroutine has imported asyncio, which takes a while; others need not.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator
from contextvars import ContextVar, copy_context
from functools import partial
from threading import get_ident
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import asyncio
    from concurrent.futures import ThreadPoolExecutor

__all__ = ["exhausted", "in_thread", "returned", "stepped", "user"]

T = TypeVar("T")
END: Any = object()
_USER: ContextVar[int | None] = ContextVar("llmpy_user", default=None)


def user() -> int:
    """Return the thread that uses a session: of a call of asyncio, that of the event loop."""
    return _USER.get() or get_ident()


async def stepped(
    generator: Generator[T, None, Any],
    cancel: Callable[[], object],
    is_shown: Callable[[T], bool] | None = None,
) -> AsyncGenerator[T]:
    """Yield the items of `generator` that are shown, each computed in its thread when it is due.

    Cancelled or left early, it calls `cancel` if a step is running, waits for that, and closes the
    generator: what it works on is at rest then, and may be used again.
    """
    async with _Steps(generator, cancel) as step:
        while (item := await step(next, generator, END)) is not END:
            if is_shown is None or is_shown(item):
                yield item


async def exhausted(generator: Generator[Any, None, T], cancel: Callable[[], object]) -> T:
    """Run `generator` to its end in a thread, and return what it returns.

    Cancelled, it calls `cancel`, and waits for the step that runs.
    """
    async with _Steps(generator, cancel) as step:
        while not isinstance(item := await step(_next, generator), _Returned):
            pass
        result: T = item.value
        return result


class _Steps:
    """Calls functions in a generator's own thread, and closes the generator at the end.

    A cancelled task calls `cancel`; the step that runs is waited for in any case. (No generator
    itself, for a loop that ends would close that at the same time as the one that uses it.)
    """

    def __init__(self, generator: Generator[Any, None, Any], cancel: Callable[[], object]) -> None:
        self._generator = generator
        self._cancel = cancel

    async def __aenter__(self) -> Callable[..., asyncio.Future[Any]]:
        self._thread = _new_thread()
        self._step = _stepping(self._thread)
        return self._step

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        import asyncio

        try:
            if kind is not None and issubclass(kind, asyncio.CancelledError):
                self._cancel()
        finally:
            await _settled(self._step(self._generator.close))
            self._thread.shutdown(wait=False)


async def in_thread(function: Callable[[], T], cancel: Callable[[], object] | None = None) -> T:
    """Call a function in a thread of its own.

    Cancelled, it calls `cancel`, and waits until the function has returned.
    """
    import asyncio

    thread = _new_thread()
    running = _stepping(thread)(function)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        if cancel is not None:
            cancel()
        raise
    finally:
        await _settled(running)
        thread.shutdown(wait=False)


def _new_thread() -> ThreadPoolExecutor:
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(1, thread_name_prefix="llmpy")


def _stepping(thread: ThreadPoolExecutor) -> Callable[..., asyncio.Future[Any]]:
    """Calls of functions in that thread, with the context variables of the task."""
    import asyncio

    context = copy_context()
    context.run(_USER.set, user())
    run: Callable[..., Any] = context.run
    return partial(asyncio.get_running_loop().run_in_executor, thread, run)


def returned(generator: Generator[Any, None, T]) -> T:
    """Run a generator to its end, and return what it returns."""
    while True:
        try:
            next(generator)
        except StopIteration as end:
            result: T = end.value
            return result


class _Returned:
    """The return value of a generator, as StopIteration cannot pass through a future."""

    def __init__(self, value: Any) -> None:
        self.value = value


def _next(generator: Generator[Any, None, Any]) -> Any:
    try:
        return next(generator)
    except StopIteration as end:
        return _Returned(end.value)


async def _settled(running: asyncio.Future[Any]) -> None:
    """Wait until a thread is done, whatever happens to the task meanwhile."""
    import asyncio

    cancelled: asyncio.CancelledError | None = None
    while not running.done():
        try:
            await asyncio.wait([running])
        except asyncio.CancelledError as error:
            cancelled = error
    if not running.cancelled():
        running.exception()  # seen: whoever waits for the result gets it
    if cancelled is not None:
        raise cancelled
