"""The policy of a step, without threads, weights or pages."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from llmpy.backends.base import PAGE_TOKENS
from llmpy.engine import Slice, Waiting, plan_step

PLENTY = 10_000  # pages


def counts(slices: list[Slice]) -> list[tuple[int, int]]:
    return [(part.sequence, part.n) for part in slices]


def test_one_sequence_gets_the_whole_step() -> None:
    assert plan_step([Waiting(0, 3, 100)], 64, PLENTY) == [Slice(0, 3, 64, range(0))]


def test_everybody_gets_a_token_and_the_first_in_line_the_rest() -> None:
    waiting = [Waiting(0, 0, 100), Waiting(1, 7, 8), Waiting(2, 0, 50)]
    assert counts(plan_step(waiting, 32, PLENTY)) == [(0, 30), (1, 1), (2, 1)]


def test_more_sequences_than_a_batch_holds_wait_for_the_next_step() -> None:
    waiting = [Waiting(i, 0, 1) for i in range(10)]
    assert counts(plan_step(waiting, 4, PLENTY)) == [(i, 1) for i in range(4)]


def test_a_higher_priority_comes_first() -> None:
    waiting = [Waiting(0, 0, 9), Waiting(1, 0, 9), Waiting(2, 0, 9, priority=1)]
    assert counts(plan_step(waiting, 10, PLENTY)) == [(2, 8), (0, 1), (1, 1)]
    assert counts(plan_step(waiting, 2, PLENTY)) == [(2, 1), (0, 1)]


def test_a_short_step_still_has_a_token_of_each() -> None:
    waiting = [Waiting(0, 0, 100), *(Waiting(i, 5, 6) for i in range(1, 5))]
    assert counts(plan_step(waiting, 64, PLENTY, n_prefill=12))[0] == (0, 8)
    assert counts(plan_step(waiting, 64, PLENTY, n_prefill=2)) == [(i, 1) for i in range(5)]


def test_prompts_beside_running_sequences_are_bounded() -> None:
    running = [Waiting(i, 90, 91) for i in range(8)]
    for priority in (0, 5, -5):
        prompt = Waiting(8, 0, 4000, priority=priority)
        for at in (0, 4, 8):
            waiting = [*running[:at], prompt, *running[at:]]
            found = dict(counts(plan_step(waiting, 512, PLENTY, n_prefill=8 + 20)))
            assert found == {8: 20, **dict.fromkeys(range(8), 1)}
    prompts = [Waiting(8 + i, 0, 4000) for i in range(3)]
    found = dict(counts(plan_step([*prompts, *running], 512, PLENTY, n_prefill=8 + 20)))
    assert sum(n for i, n in found.items() if i >= 8) == 20


def test_steps_may_end_where_pages_do() -> None:
    waiting = [Waiting(0, 10, 300), Waiting(1, 64, 65), Waiting(2, 128, 300)]
    found = plan_step(waiting, 512, PLENTY, page_ends=True)
    assert counts(found) == [(0, 54), (1, 1), (2, 64)]


def test_what_is_whole_is_never_cut() -> None:
    texts = [Waiting(i, 0, n, whole=True) for i, n in enumerate((10, 30, 12))]
    assert counts(plan_step(texts, 32, PLENTY, n_prefill=1)) == [(0, 10), (2, 12)]


def test_any_rows_of_a_slice_give_logits() -> None:
    waiting = Waiting(0, 10, 40, first_output=15, stop_output=40)
    assert plan_step([waiting], 20, PLENTY) == [Slice(0, 10, 20, range(5, 20))]
    assert plan_step([waiting._replace(start=30)], 20, PLENTY) == [Slice(0, 30, 10, range(10))]
    early = Waiting(0, 10, 40, first_output=0, stop_output=12)
    assert plan_step([early], 20, PLENTY)[0].output_rows == range(2)
    assert not plan_step([waiting._replace(start=10)], 5, PLENTY)[0].output_rows


def test_a_sequence_without_pages_waits_while_others_go_on() -> None:
    long, short = Waiting(0, 0, 3 * PAGE_TOKENS), Waiting(1, 5, 6, n_pages=1)
    assert counts(plan_step([long, short], 64, 2)) == [(1, 1)]
    assert counts(plan_step([long, short], 64, 3)) == [(0, 63), (1, 1)]


def test_pages_are_counted_for_all_of_a_step() -> None:
    waiting = [Waiting(i, PAGE_TOKENS, PAGE_TOKENS + 1, n_pages=1) for i in range(3)]
    assert counts(plan_step(waiting, 64, 2)) == [(0, 1), (1, 1)]


def test_a_shared_page_costs_a_copy() -> None:
    waiting = [Waiting(0, 5, 6, n_pages=1, n_copies=1)]
    assert plan_step(waiting, 64, 0) == []
    assert counts(plan_step(waiting, 64, 1)) == [(0, 1)]


WAITING = st.builds(
    lambda start, n, skipped, rows, priority: Waiting(
        0, start, start + n, start + skipped, start + skipped + rows,
        n_pages=-(-start // PAGE_TOKENS), priority=priority,
    ),
    st.integers(0, 300), st.integers(1, 300), st.integers(0, 50), st.integers(0, 50),
    st.integers(0, 2),
)  # fmt: skip


@settings(max_examples=300)
@given(st.lists(WAITING, max_size=12), st.integers(1, 64), st.integers(0, 40), st.integers(1, 64))
def test_a_step_keeps_its_limits(
    waiting: list[Waiting], n_batch: int, free: int, n_prefill: int
) -> None:
    waiting = [values._replace(sequence=i) for i, values in enumerate(waiting)]
    slices = plan_step(waiting, n_batch, free, n_prefill)
    assert sum(part.n for part in slices) <= n_batch
    assert len({part.sequence for part in slices}) == len(slices)
    pages = 0
    for part in slices:
        values = waiting[part.sequence]
        assert part.start == values.start
        assert 1 <= part.n <= values.end - values.start
        inside = range(values.start, values.start + part.n)
        wanted = [p for p in inside if values.first_output <= p < values.stop_output]
        assert [part.start + row for row in part.output_rows] == wanted
        assert 0 <= part.output_rows.start <= part.output_rows.stop <= part.n
        pages += -(-(part.start + part.n) // PAGE_TOKENS) - values.n_pages
    assert pages <= free
    if free >= 100 and waiting:
        assert slices
