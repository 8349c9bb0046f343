"""Write what docs/dates.md says of the model: its accuracy, its failures, its confidence.

    python tools/dates/page.py                      the scores that score.py has left
    python tools/dates/page.py --confidence 20000   and how often an answer of a confidence is right

Those texts are of the generator's test split, whose forms the model never saw; docs/dates.svg
shows the same.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "dates.md"
RESULTS = ROOT / "docs" / "dates-results.json"
SYSTEMS = {
    "model": "**llmpy dates**",
    "expressions": "regular expressions",
    "dateparser": "dateparser",
    "datefinder": "datefinder",
    "general": "SmolLM2-135M, schema and five examples",
}
SETS = {
    "held-out forms": "forms that training never saw",
    "handmade": "labelled by hand",
    "recognizers-text": "Recognizers-Text",
}
sys.path.insert(0, str(Path(__file__).resolve().parent))

EDGES = (0.0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)
SIDE, LEFT, TOP = 300, 60, 20  # of the plot, in points


def scored(count: int, model: Path | None) -> list[tuple[float, bool]]:
    """The confidence of each answer, and whether it is right."""
    from generate import pairs

    import llmpy
    from llmpy.apps import dates
    from llmpy.apps.dates.parsing import written

    samples = [sample for _, sample in itertools.islice(pairs("test", 1), count)]
    parser = dates.Parser(llmpy.load(model or dates.model_path()))
    answers = parser.parse_many(sample.text for sample in samples)
    return [
        (answer.confidence, written(answer) == sample.output)
        for answer, sample in zip(answers, samples, strict=True)
    ]


def bins(found: list[tuple[float, bool]]) -> list[tuple[float, float, int, float, float]]:
    """Of each bin: its edges, how many answers, their mean confidence, and the share right."""
    rows = []
    for low, high in itertools.pairwise(EDGES):
        inside = [(c, ok) for c, ok in found if low <= c < high or c == high == 1.0]
        if n := len(inside):
            mean, right = (sum(column) / n for column in zip(*inside, strict=True))
            rows.append((low, high, n, mean, right))
    return rows


def table(found: list[tuple[float, bool]]) -> str:
    """The bins for docs/dates.md, and the distance of confidence from truth over all."""
    rows = bins(found)
    lines = ["| confidence | answers | mean confidence | right |", "|---|---|---|---|"]
    lines += [
        f"| {low:g} to {high:g} | {n} | {mean:.3f} | {right:.3f} |"
        for low, high, n, mean, right in rows
    ]
    error = sum(n * abs(mean - right) for _, _, n, mean, right in rows) / len(found)
    lines += ["", f"Expected calibration error: {error:.4f} over {len(found)} texts."]
    return "\n".join(lines)


def drawing(found: list[tuple[float, bool]]) -> str:
    """An SVG: confidence across, the share that is right upwards, areas as the answers' number."""
    width, height = LEFT + SIDE + 30, TOP + SIDE + 60
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        f'<path d="M{LEFT} {TOP}V{TOP + SIDE}H{LEFT + SIDE}" fill="none" stroke="#555"/>',
        f'<path d="M{LEFT} {TOP + SIDE}L{LEFT + SIDE} {TOP}" stroke="#aaa" '
        'stroke-dasharray="4 4"/>',
    ]
    for i in range(6):
        at, said = i * SIDE / 5, f"{i / 5:g}"
        parts.append(
            f'<text x="{LEFT + at:g}" y="{TOP + SIDE + 18}" text-anchor="middle">{said}</text>'
            f'<text x="{LEFT - 8}" y="{TOP + SIDE - at + 4:g}" text-anchor="end">{said}</text>'
        )
    middle = LEFT + SIDE / 2
    parts += [
        f'<text x="{middle:g}" y="{TOP + SIDE + 42}" text-anchor="middle">confidence</text>',
        f'<text transform="translate(18 {TOP + SIDE / 2:g}) rotate(-90)" text-anchor="middle">'
        "share of right answers</text>",
    ]
    for low, high, n, mean, right in bins(found):
        x, y = LEFT + mean * SIDE, TOP + (1 - right) * SIDE
        spread = SIDE * (right * (1 - right) / n) ** 0.5
        parts.append(
            f'<path d="M{x:.1f} {y - spread:.1f}v{2 * spread:.1f}" stroke="#1565c0"/>'
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{2 + 10 * (n / len(found)) ** 0.5:.1f}" '
            f'fill="#1565c0" fill-opacity="0.6"><title>{low:g} to {high:g}: {n} answers, '
            f"{right:.1%} right</title></circle>"
        )
    return "\n".join([*parts, "</svg>", ""])


def accuracies(results: dict[str, dict[str, dict[str, int]]]) -> str:
    """The table of exact matches, a row for each system and a column for each set."""
    lines = ["| | " + " | ".join(SETS.values()) + " |", "|---" * (len(SETS) + 1) + "|"]
    for system, name in SYSTEMS.items():
        cells = []
        for one in SETS:
            found = results.get(system, {}).get(one)
            right = found and f"{found['right'] / found['of']:.1%} ({found['right']}/{found['of']})"
            cells.append(right or "not measured")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def failures(results: dict[str, Any], one: str) -> str:
    """Everything that the model has wrong in a set."""
    lines = ["| text | expected | found | confidence |", "|---|---|---|---|"]
    for wrong in results["model"][one]["failures"]:
        cells = (wrong["text"], wrong["expected"], wrong["found"], f"{wrong['confidence']:.2f}")
        lines.append("| " + " | ".join(_cell(text) for text in cells) + " |")
    return "\n".join(lines) if len(lines) > 2 else "None."


def _cell(text: str) -> str:
    return "`" + text.replace("|", "\\|") + "`" if text else "(no date)"


def between(page: str, name: str, content: str) -> str:
    """The page with what stands between the two comments called `name` replaced."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    before, rest = page.split(begin)
    return f"{before}{begin}\n\n{content}\n\n{end}{rest.split(end)[1]}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--confidence", type=int, metavar="TEXTS")
    parser.add_argument("--model", type=Path, help="another than that of the package")
    args = parser.parse_args()
    page = PAGE.read_text(encoding="utf-8")
    if args.confidence:
        found = scored(args.confidence, args.model)
        PAGE.with_suffix(".svg").write_text(drawing(found), encoding="utf-8")
        page = between(page, "confidence", table(found))
    if RESULTS.exists():
        results = json.loads(RESULTS.read_text(encoding="utf-8"))
        page = between(page, "accuracy", accuracies(results))
        for one in ("handmade", "recognizers-text"):
            page = between(page, f"failures: {one}", failures(results, one))
    PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
