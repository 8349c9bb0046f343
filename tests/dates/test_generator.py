"""The generator of pairs: labels are EDTF, splits share no form, the same seed gives the same."""

from __future__ import annotations

import itertools
import re
from collections import Counter

import pytest
from baselines import by_expressions
from forms import FORMS, SHARES, Choices, Form, Pool, normalise, splits
from forms.core import edtf_year
from forms.surface import barred, skeleton, varied
from generate import forbidden, pairs

from llmpy.apps.dates.edtf import from_edtf
from tests.dates.test_handmade import FIELDS, VALUE

SPLITS = ("train", "validation", "test")
THIRDS = ("early", "mid", "late")
PARTS = FIELDS["part"] | {f"{a}/{b}" for a in THIRDS for b in THIRDS}
ALL = [form for family in FORMS.values() for form in family]
NAMES = FIELDS["kind"] | FIELDS["calendar"] | PARTS


def some(form: Form, count: int = 8) -> list[tuple[str, str]]:
    r = Choices(form.name)
    return [(s.text, s.output) for s in (form.sample(r) for _ in range(count))]


@pytest.mark.parametrize("family", FORMS)
def test_every_value_of_every_form_is_edtf(family: str) -> None:
    wrong = []
    for form in FORMS[family]:
        for text, output in some(form):
            values, _, named = output.partition("#")
            for value in values.split(";") if values else ():
                if not VALUE.fullmatch(value):
                    wrong.append((form.name, text, value))
                from_edtf(value)  # raises where a day does not exist
            if named and not set(named.split(",")) <= NAMES:
                wrong.append((form.name, text, named))
    assert wrong == []


def test_each_family_has_forms_of_the_test_split_and_a_share() -> None:
    where = splits()
    held_out = Counter(form.family for form in ALL if where[form.name] == "test")
    assert set(FORMS) == set(SHARES)
    assert [family for family in FORMS if not held_out[family]] == []
    assert held_out.total() * 10 >= len([form for form in ALL if not form.later])


def test_a_split_draws_forms_of_its_own_only() -> None:
    where = splits()
    for split in SPLITS:
        drawn = {name for name, _ in itertools.islice(pairs(split, 1), 3000)}
        assert {where[name] for name in drawn} == {split}


def test_what_nests_in_a_form_of_the_test_is_of_the_training(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    where, pool = splits(), Pool()
    pool.fill("test")
    drawn = []
    monkeypatch.setattr(Pool, "draw", drawing(Pool.draw, drawn))
    r = Choices(3)
    for form in pool.of["marks around a date"][0] + pool.of["sentences"][0]:
        for _ in range(20):
            form.sample(r)
    assert drawn
    assert {where[name] for name in drawn} == {"train"}


def test_grammars_train_and_are_never_inside_of_a_held_out_form() -> None:
    where = splits()
    grammars = [form for form in ALL if form.share]
    assert len(grammars) > 50
    assert {where[form.name] for form in grammars} == {"train"}
    for split in SPLITS:
        pool = Pool()
        pool.fill(split)
        assert [form.name for chosen, _ in pool.of.values() for form in chosen if form.share] == []


def test_what_was_added_never_looks_like_a_held_out_form() -> None:
    later = {form.name for form in ALL if form.later}
    drawn = [s.text for name, s in itertools.islice(pairs("train", 4, 0), 9000) if name in later]
    assert len(drawn) > 2000
    assert [text for text in drawn if skeleton(text) in barred()] == []


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("3 June 1944", "21 Sept. 1815"),
        ("c. 450-438 BC", "circa 312 - 298 b.c."),
        ("Monday, the third of May 1,200 BCE", "friday, the tenth of August 1200 BC"),
        ("14. Juli 1789 v. Chr.", "1. august 912 n. Chr."),
    ],
)
def test_texts_of_one_form_have_one_skeleton(text: str, other: str) -> None:
    assert skeleton(text) == skeleton(other)


@pytest.mark.parametrize(
    "other", ["3 June, 1944", "3rd June 1944", "June 3 1944", "in 3 June 1944"]
)
def test_texts_of_two_forms_have_two(other: str) -> None:
    assert skeleton("3 June 1944") != skeleton(other)


def test_a_change_of_the_surface_keeps_the_values() -> None:
    r = Choices(8)
    samples = [s for _, s in itertools.islice(pairs("validation", 8, 0), 2000)]
    changed = [varied(r, s) for s in samples]
    assert [s.output for s in changed] == [s.output for s in samples]
    assert sum(a.text != b.text for a, b in zip(changed, samples, strict=True)) > 1000


def drawing(draw, names):  # type: ignore[no-untyped-def]
    """`Pool.draw` that notes the names of the forms that it might have drawn."""

    def noting(self, r, family):  # type: ignore[no-untyped-def]
        names.extend(form.name for form in self.of[family][0])
        return draw(self, r, family)

    return noting


def test_the_same_seed_gives_the_same_pairs_and_another_does_not() -> None:
    first, again, other = (list(itertools.islice(pairs("train", n), 200)) for n in (5, 5, 6))
    assert first == again
    assert first != other


def test_no_pair_has_a_text_that_was_labelled_by_hand() -> None:
    barred = forbidden()
    assert len(barred) >= 300
    drawn = {s.text.casefold() for _, s in itertools.islice(pairs("train", 2), 20_000)}
    assert drawn & barred == set()


def test_texts_are_as_the_model_reads_them() -> None:
    for _, sample in itertools.islice(pairs("train", 9), 3000):
        assert sample.text == normalise(sample.text)


@pytest.mark.parametrize(
    ("year", "edtf"),
    [
        *(
            ((1, True), "0000"),
            ((2, True), "-0001"),
            ((44, True), "-0043"),
            ((1000, True), "-0999"),
        ),
        *(((1, False), "0001"), ((476, False), "0476"), ((10_000, True), "-9999")),
    ],
)
def test_years_before_christ_are_astronomical(year: tuple[int, bool], edtf: str) -> None:
    assert edtf_year(year) == edtf


@pytest.mark.parametrize(
    ("family", "template"),
    [
        *(("day", "<d> <mon> <Y>"), ("day", "<mon> <d>, <Y>"), ("month", "<mon> <Y>")),
        *(("day in figures", "<d>.<m>.<Y4>"), ("day in figures", "<m>/<d>/<Y4>")),
        *(("years", "<N><dash><M>"), ("season", "<S> of <Y>"), ("decade", "in the <D>")),
    ],
)
def test_an_independent_reader_agrees_with_labels(family: str, template: str) -> None:
    form = next(f for f in FORMS[family] if f.template == template)
    read = [(text, output, by_expressions(text)) for text, output in some(form, 200)]
    answered = [row for row in read if row[2]]
    assert len(answered) > 100
    assert [row for row in answered if row[1] != row[2]] == []


def test_a_text_without_a_date_has_no_digits_that_stand_alone_as_a_year() -> None:
    bare = re.compile(r"[12][0-9]{3}")
    for form in FORMS["no date"]:
        assert [text for text, output in some(form, 30) if bare.fullmatch(text) or output] == []
