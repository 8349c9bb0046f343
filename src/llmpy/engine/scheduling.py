"""The policy of a step: which tokens of which sequences it computes. Values only, no side effects.

Every waiting sequence gets at least one token, so a long prompt delays nobody by more than a step;
the room that is left goes to longer parts, in the order of priority and arrival.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import Any, NamedTuple

from llmpy.backends.base import PAGE_TOKENS

__all__ = ["Slice", "Waiting", "plan_step"]

ONE_ROW, NO_ROWS = range(1), range(0)
_PRIORITY = itemgetter(8)  # of a Waiting
_new: Any = tuple.__new__  # of a NamedTuple in half the time


class Waiting(NamedTuple):
    """A sequence that waits: its tokens `start` (those before are cached) to `end` are to be read.

    It asks for logits after positions `first_output` to `stop_output`. It has `n_pages` pages of
    the KV cache, of which it must copy `n_copies` before it can write to them. `whole`: all in one
    step or nothing.
    """

    sequence: int
    start: int
    end: int
    first_output: int = 0
    stop_output: int = 0
    n_pages: int = 0
    n_copies: int = 0
    whole: bool = False
    priority: int = 0


class Slice(NamedTuple):
    """Tokens `start` to `start + n` of a sequence; `output_rows` of them, from 0, give logits."""

    sequence: int
    start: int
    n: int
    output_rows: range


def plan_step(
    waiting: Sequence[Waiting],
    n_batch: int,
    free_pages: int,
    n_prefill: int | None = None,
    page_ends: bool = False,
) -> list[Slice]:
    """Return the slices of the next step: at most `n_batch` tokens and `free_pages` new pages.

    `waiting` is in the order of arrival; a higher priority comes first. With `n_prefill`, a step of
    so many tokens or more has one token of each sequence only, apart from those that are `whole`.
    With `page_ends`, no slice goes on beyond the end of a page, so that a recurrent state can be
    kept there. A sequence waits that has no room, or not the pages for all it waits for, lest it be
    computed in vain; an empty list means that pages are missing for all of them.
    """
    if len(waiting) > 1:
        waiting = sorted(waiting, key=_PRIORITY, reverse=True)[:n_batch]
    n_single = len(waiting) if not waiting or not waiting[0].whole else 0
    room = n_batch - n_single  # for tokens beyond the first of each sequence
    if n_prefill is not None and n_single:
        room = max(0, min(room, n_prefill - n_single))
    slices = []
    for index, start, end, first, stop, n_pages, n_copies, whole, _ in waiting:
        n = end - start
        if not whole and n > room + 1:
            n = room + 1
        if page_ends and not whole:
            n = min(n, PAGE_TOKENS - start % PAGE_TOKENS)
        pages = n_copies - (-end // PAGE_TOKENS) - n_pages  # to go on until the end
        if pages > free_pages or (whole and n > room):
            continue
        if pages > 0:
            free_pages -= pages
        room -= n if whole else n - 1
        if n == 1:  # as almost always: written out, for it is done for every token
            rows = ONE_ROW if first <= start < stop else NO_ROWS
        else:
            first = min(max(first - start, 0), n)
            rows = range(first, max(min(stop - start, n), first))
        slices.append(_new(Slice, (index, start, n, rows)))
    return slices
