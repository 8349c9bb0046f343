"""The forms that dates are written in, by subject; importing this registers all of them."""

from forms import languages, marks, nothing, periods, points, qualified, ranges, wide
from forms.core import FORMS, TRAIN, Choices, Form, Pool, Sample, splits
from forms.noise import noisy, normalise

TRAIN.fill("train")

# how often each family is drawn
SHARES = {
    "day": 10,
    "day in figures": 7,
    "month": 5,
    "year": 6,
    "season": 4,
    "quarter": 2,
    "part of a month or year": 3.5,
    "decade": 4,
    "century": 6,
    "millennium": 2,
    "decades": 3.5,
    "centuries": 5.5,
    "millennia": 0.7,
    "years": 10,
    "elided years": 4.5,
    "days in a month": 5.5,
    "days in a year": 4.5,
    "months": 3.5,
    "seasons": 1.2,
    "across years": 8,
    "open ranges": 7.5,
    "circa and doubt": 9,
    "births and deaths": 6.5,
    "reigns": 5,
    "lives": 1.5,
    "old and new style": 3.5,
    "alternatives": 4,
    "alternatives of any kind": 2,
    "several dates": 6.5,
    "wiki templates": 4.5,
    "marks around a date": 4.5,
    "links and entities": 4,
    "durations and remarks": 4.5,
    "sentences": 15,
    "no date": 8.5,
    "years in words": 2,
    "names of files": 0.7,
    "German": 4,
    "French": 4,
    "Spanish": 3.5,
    "Italian": 3.5,
    "Portuguese": 3,
    "Dutch": 3.5,
}

__all__ = [
    "FORMS", "SHARES", "TRAIN", "Choices", "Form", "Pool", "Sample", "languages", "marks", "noisy",
    "normalise", "nothing", "periods", "points", "qualified", "ranges", "splits", "wide",
]  # fmt: skip
