"""Pairs of a text and what it means: `python tools/dates/generate.py --count 20` shows some.

Each pair comes from a form (`forms/`), whose split holds for all pairs of that form. The same seed
gives the same pairs.
"""

from __future__ import annotations

import argparse
import itertools
import re
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from forms import FORMS, SHARES, Choices, Form, Pool, Sample, noisy, normalise, splits
from forms.surface import barred, skeleton, varied

HANDMADE = Path(__file__).resolve().parents[2] / "tests" / "dates" / "handmade.tsv"
YEAR = r"-?[0-9]{1,4}X{0,3}"
# what the training has more of, beside the shares: kinds with the most forms
MORE = {"sentences": 1.5, "day in figures": 1.3, "open ranges": 1.3, "several dates": 1.2}
VARIED = 0.3  # of the training
DATE = rf"{YEAR}(?:-[0-9]{{2}}(?:-[0-9]{{2}})?)?[~?%]?"
VALUE = re.compile(
    rf"{DATE}|(?:{DATE}|\.\.|)/(?:{DATE}|\.\.|)|\[{DATE}(?:(?:,|\.\.){DATE})+\]",
)


def forbidden() -> frozenset[str]:
    """The texts that were labelled by hand: never a pair of the training."""
    lines = HANDMADE.read_text(encoding="utf-8").splitlines()[1:]
    return frozenset(normalise(line.split("\t")[0]).casefold() for line in lines)


def allowed(form: Form, sample: Sample) -> bool:
    """Whether a pair may train: what later forms make must not look like a held-out form."""
    return not form.later or skeleton(sample.text) not in barred()


def pairs(split: str, seed: int, noise: float = 0.16) -> Iterator[tuple[str, Sample]]:
    """The name of a form of this split and a pair of it, endlessly."""
    r = Choices(f"{split} {seed}")
    if split == "train":
        r.wide, r.allowed = True, allowed
    pool = Pool()
    pool.fill(split)
    families = [name for name in FORMS if pool.of[name][0]]
    more = MORE if split == "train" else {}
    weights = list(itertools.accumulate(SHARES[name] * more.get(name, 1.0) for name in families))
    labelled = forbidden()
    while True:
        family = r.choices(families, cum_weights=weights)[0]
        form, sample = pool.named(r, family)
        if r.wide and r.chance(VARIED):
            sample = varied(r, sample)
            if skeleton(sample.text) in barred():
                continue
        text = normalise(noisy(r, sample.text.replace("the the ", "the "), noise))
        if len(text) < 190 and text.casefold() not in labelled:
            yield form.name, Sample(text, sample.values, sample.fields)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--split", choices=("train", "validation", "test"), default="train")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument(
        "--each", type=int, help="this many pairs of each form of the split instead"
    )
    args = parser.parse_args()
    if args.each:
        where = splits()
        r = Choices(args.seed)
        for form in itertools.chain.from_iterable(FORMS.values()):
            for _ in range(args.each if where[form.name] == args.split else 0):
                sample = form.sample(r)
                print(form.name, normalise(sample.text), sample.output, sep="\t")
        return
    for name, sample in itertools.islice(pairs(args.split, args.seed), args.count):
        print(name, sample.text, sample.output, sep="\t")


if __name__ == "__main__":
    main()
