"""The cases of Recognizers-Text that have an absolute date, as EDTF."""

from __future__ import annotations

from collections import Counter

import pytest
import recognizers
from generate import pairs

from tests.dates.test_handmade import VALUE

pytestmark = pytest.mark.skipif(
    not recognizers.CASES.exists(), reason="no ../shared/data/dates/recognizers-text"
)


def test_at_least_150_cases_remain_and_all_are_edtf() -> None:
    kept, _ = recognizers.cases()
    assert len(kept) >= 150
    values = [v for case in kept for v in case.output.partition("#")[0].split(";")]
    assert [v for v in values if not VALUE.fullmatch(v)] == []


def test_each_case_left_out_is_listed_with_its_reason() -> None:
    kept, left = recognizers.cases()
    lines = recognizers.LEFT_OUT.read_text(encoding="utf-8").splitlines()[1:]
    assert lines == [f"{name}\t{number}\t{why}" for name, number, why in sorted(left)]
    assert all(line.split("\t")[2] for line in lines)
    assert len({c.text for c in kept}) == len(kept)


@pytest.mark.parametrize(
    ("words", "sizes"),
    [
        *(("from 4 to 22 january, 1995", [10, 10]), ("between 2015 and feb 2018", [4, 7])),
        *(("2014-2018", [4, 4]), ("jan-feb 2017", [7, 7]), ("dec/2018-may/2019", [7, 7])),
    ],
)
def test_words_say_how_precise_the_ends_are(words: str, sizes: list[int]) -> None:
    assert recognizers.precisions(words) == sizes


def test_no_case_is_a_pair_of_the_training() -> None:
    texts = {case.text.casefold() for case in recognizers.cases()[0]}
    drawn = Counter()
    for _, (_, sample) in zip(range(20_000), pairs("train", 2), strict=False):
        drawn[sample.text.casefold() in texts] += 1
    assert drawn[True] <= 20  # short ones such as `2/29/2020` may be drawn by chance
