"""How often each reader of dates is exactly right: `python tools/dates/score.py SYSTEM ...`.

Systems: model, dateparser, datefinder, expressions, general (`--general FILE.gguf`). Sets: forms of
the test split, which training never saw; the cases of Recognizers-Text; the texts labelled by hand.
Results are added to docs/dates-results.json, with all failures of the model on the last two.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import baselines
import recognizers
from generate import HANDMADE, pairs

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "docs" / "dates-results.json"
Labelled = tuple[str, str, str]  # a name of the form or "", the text, the output
Reader = Callable[[list[str]], Iterable[tuple[str, float | None]]]


def held_out(count: int = 5000) -> list[Labelled]:
    """Pairs of the test split with the mix of families that training has."""
    return [(name, s.text, s.output) for name, s in itertools.islice(pairs("test", 17), count)]


def handmade() -> list[Labelled]:
    found = []
    for line in HANDMADE.read_text(encoding="utf-8").splitlines()[1:]:
        text, values, fields = line.split("\t")
        named = dict(f.split("=") for f in fields.split("; ")) if fields else {}
        said = ",".join(named[n] for n in ("kind", "part", "calendar") if n in named)
        found.append(("", text, values.replace(" ; ", ";") + ("#" + said if said else "")))
    return found


def sets(subset: int | None) -> dict[str, list[Labelled]]:
    """The sets; of each `subset` texts drawn at random, for what is slow."""
    found = {"held-out forms": held_out(), "handmade": handmade()}
    if recognizers.CASES.exists():
        found["recognizers-text"] = [("", c.text, c.output) for c in recognizers.cases()[0]]
    if subset:
        found = {k: random.Random(17).sample(v, min(subset, len(v))) for k, v in found.items()}
    return found


def the_model(path: Path | None) -> Reader:
    """The package's model through its runtime, or the model at `path`."""
    import llmpy
    from llmpy.apps import dates
    from llmpy.apps.dates.parsing import written

    parser = dates.Parser(llmpy.load(path or dates.model_path()))
    return lambda texts: ((written(a), a.confidence) for a in parser.parse_many(texts))


def reader(system: str, args: argparse.Namespace) -> Reader:
    if system == "model":
        return the_model(args.model)
    one = {
        "dateparser": lambda: baselines.by_dateparser,
        "datefinder": lambda: baselines.by_datefinder,
        "expressions": lambda: baselines.by_expressions,
        "general": lambda: baselines.general_model(args.general),
    }[system]()
    return lambda texts: ((one(text), None) for text in texts)


def score(read: Reader, labelled: list[Labelled], keep: bool) -> dict[str, object]:
    answers = list(read([text for _, text, _ in labelled]))
    wrong = [
        {
            "form": name,
            "text": text,
            "expected": wanted,
            "found": found,
            "confidence": sure and round(sure, 3),
        }
        for (name, text, wanted), (found, sure) in zip(labelled, answers, strict=True)
        if found != wanted
    ]
    values = sum(w["expected"].split("#")[0] == w["found"].split("#")[0] for w in wrong)  # type: ignore[union-attr,attr-defined]
    right = len(labelled) - len(wrong)
    found = {
        "right": right,
        "of": len(labelled),
        "exact": round(right / len(labelled), 4),
        "values_alone": round((right + values) / len(labelled), 4),
    }
    return found | {"failures": wrong[:100]} if keep else found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "systems",
        nargs="+",
        choices=("model", "dateparser", "datefinder", "expressions", "general"),
    )
    parser.add_argument("--set", dest="only", action="append", help="these sets only")
    parser.add_argument("--model", type=Path, help="another file than the package's")
    parser.add_argument("--general", type=Path, help="a chat model for `general`")
    parser.add_argument("--subset", type=int, help="texts of each set, drawn at random")
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    results = json.loads(args.out.read_text(encoding="utf-8")) if args.out.exists() else {}
    for system in args.systems:
        read = reader(system, args)
        for name, labelled in sets(args.subset).items():
            if args.only and name not in args.only:
                continue
            keep = system == "model"
            found = score(read, labelled, keep) | ({"subset": True} if args.subset else {})
            results.setdefault(system, {})[name] = found
            print(
                f"{system:12} {name:18} {found['right']}/{found['of']} {found['exact']:.2%}",
                flush=True,
            )
        args.out.write_text(
            json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
        )


if __name__ == "__main__":
    main()
