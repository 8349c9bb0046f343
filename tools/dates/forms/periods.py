"""Decades, centuries and millennia, their parts, and ranges of them."""

from __future__ import annotations

from forms.core import ORDINALS, Choices, Sample, dash, fill, forms, ordinal
from forms.points import part_of

HALVES = ("first half", "second half")


def era(r: Choices, before: bool, share: float = 0.15) -> str:
    if before:
        return r.one(" BC", " BC", " BC", " BCE", " BCE", " B.C.", " B.C.E.")
    return r.one(" AD", " CE", " A.D.") if r.chance(share) else ""


def a_decade(r: Choices) -> tuple[str, str]:
    """Text and value of a decade: the figures as they stand, before Christ too."""
    kind = r.random()
    if kind < 0.70:
        tens, tail = r.number(150, 202), ""
    elif kind < 0.90:
        tens, tail = r.number(100, 202), ""
    elif kind < 0.95:
        tens, tail = r.number(20, 99), era(r, False, 0.5)
    else:
        tens = r.number(5, 99)
        return f"{tens}0s{era(r, True)}", f"-{tens:03d}X"
    return (
        f"{tens}0{r.one('s', 's', 's', 's', 's', chr(39) + 's', '’s', 'S')}{tail}",
        f"{tens:03d}X",
    )


def century_number(r: Choices, number: int) -> str:
    """`15th` or `fifteenth`."""
    return ordinal(number) if r.chance(0.65) else ORDINALS[number - 1]


def a_century(r: Choices) -> tuple[int, bool]:
    if r.chance(0.28):
        return (r.number(1, 10) if r.chance(0.8) else r.number(1, 30)), True
    return (r.number(8, 21) if r.chance(0.7) else r.number(1, 21)), False


def century_value(number: int, before: bool) -> str:
    return f"{'-' if before else ''}{number - 1:02d}XX"


def name_of_century(r: Choices) -> str:
    return r.one(*[" century"] * 6, " Century", "-century", " c.", " cent.", " centuary")


def century_text(r: Choices, number: int, before: bool) -> str:
    return century_number(r, number) + name_of_century(r) + era(r, before)


def decade(r: Choices, template: str) -> Sample:
    text, value = a_decade(r)
    return Sample(fill(template, D=text), (value,))


forms("decade", decade)


def decade_part(r: Choices, template: str) -> Sample:
    (text, value), (part, said) = a_decade(r), part_of(r)
    if said.endswith("of "):
        said += "the "
    return Sample(fill(template, D=text, part=said, P=said.capitalize()), (value,), {"part": part})


forms("decade", decade_part)


def century(r: Choices, template: str) -> Sample:
    number, before = a_century(r)
    text = fill(template, C=century_text(r, number, before), n=century_number(r, number))
    return Sample(text, (century_value(number, before),))


forms("century", century, weight=2)


def century_part(r: Choices, template: str) -> Sample:
    number, before = a_century(r)
    part, said = part_of(r)
    sep = (
        r.one("-", " ")
        if said.endswith(" ") and not said.endswith("of ") and r.chance(0.15)
        else None
    )
    said = said[:-1] + sep if sep else said
    if said.endswith("of "):
        said += "the "
    half = r.pick(HALVES)
    shown = "latter half" if half == "second half" and r.chance(0.1) else half
    if half == "first half" and r.chance(0.1):
        shown = "1st half"
    if half == "second half" and shown == half and r.chance(0.1):
        shown = "2nd half"
    text = fill(
        template,
        C=century_text(r, number, before),
        part=said,
        P=said.capitalize(),
        half=shown,
        H=shown.capitalize(),
    )
    fields = {"part": half if "half>" in template or "<H>" in template else part}
    return Sample(text, (century_value(number, before),), fields)


forms("century", century_part, weight=1.5)


def millennium(r: Choices, template: str) -> Sample:
    before = r.chance(0.7)
    number = r.number(1, 9) if before else r.number(1, 3)
    name = r.one(
        " millennium",
        " millennium",
        " millennium",
        " Millennium",
        " millenium",
        "-millennium",
        " mill.",
    )
    shown = (
        (ordinal(number) if r.chance(0.65) else ORDINALS[number - 1]) + name + era(r, before, 0.4)
    )
    part, said = part_of(r)
    if said.endswith("of "):
        said += "the "
    half = r.pick(HALVES)
    fields = {"part": part} if "part>" in template or "<P>" in template else {}
    if "<half>" in template:
        fields = {"part": half}
    text = fill(template, K=shown, part=said, P=said.capitalize(), half=half)
    return Sample(text, (f"{'-' if before else ''}{number - 1}{3 * 'X'}",), fields)


forms("millennium", millennium)


def between_periods(r: Choices) -> str:
    """Between two periods in a range: a dash or a word."""
    return (
        dash(r, 0.4) if r.chance(0.55) else " " + r.one("to", "to", "to", "through", "until") + " "
    )


def decades(r: Choices, template: str) -> Sample:
    kind = r.random()
    first = r.number(150, 201) if kind < 0.8 else r.number(40, 201)
    last = first + (1 if r.chance(0.5) else r.number(1, 9))
    s = r.one("s", "s", "s", "'s")
    p, q = r.one("early", "mid", "late"), r.one("early", "mid", "late")
    slots = {"A": f"{first}0{s}", "B": f"{last}0{s}", "to": lambda: between_periods(r)}
    slots |= {"p": lambda: p + (r.one("-", "-", " ") if p == "mid" else " ")}
    slots |= {"q": lambda: q + (r.one("-", "-", " ") if q == "mid" else " ")}
    slots["or"] = "or"
    a, b = f"{first:03d}X", f"{last:03d}X"
    values: tuple[str, ...] = (f"{a}/{b}",)
    if "<or>" in template:
        values = (f"[{a},{b}]",)
    elif " and " in template and "between" not in template:
        values = (a, b)
    elif "between" in template:
        values = (f"[{a}..{b}]",)
    elif template.startswith(("since", "after")) or "onward" in template:
        values = (f"{a}/..",)
    elif template.startswith(("until", "before")):
        values = (f"../{a}",)
    fields = {"part": f"{p}/{q}"} if "<q>" in template else {}
    if "<p>" in template and not fields:
        fields = {"part": p}
    return Sample(fill(template, **slots), values, fields)


forms("decades", decades)


def centuries(r: Choices, template: str) -> Sample:
    """Two centuries, of one era or, where the template says each, of two."""
    each = "<X>" in template
    before = r.chance(0.3)
    if each and r.chance(0.35):
        (m, mb), (n, nb) = (r.number(1, 6), True), (r.number(1, 8), False)
    elif before:
        m = r.number(2, 10) if r.chance(0.85) else r.number(2, 30)
        n, mb, nb = max(1, m - r.pick((1, 1, 1, 2, 3))), True, True
    else:
        m = r.number(8, 20) if r.chance(0.7) else r.number(1, 20)
        n, mb, nb = min(21, m + r.pick((1, 1, 1, 2, 3))), False, False
    words = r.chance(0.35)
    number = (lambda k: ORDINALS[k - 1]) if words else ordinal
    p, q = r.one("early", "mid", "late"), r.one("early", "mid", "late")
    tail = era(r, nb)
    slots = {
        "A": number(m),
        "B": number(n),
        "cent": r.one(" century", " century", " century", " Century", " c.", "-century"),
        "cents": r.one(" centuries", " centuries", " centuries", " century", " Centuries"),
        "era": tail,
        "X": lambda: (
            number(m) + " century" + (era(r, mb) if mb else tail if not nb and mb == nb else "")
        ),
        "Z": lambda: number(n) + r.one(" century", " century", " c.") + tail,
        "to": lambda: between_periods(r),
        "p": lambda: p + (r.one("-", "-", " ") if p == "mid" else " "),
        "q": lambda: q + (r.one("-", "-", " ") if q == "mid" else " "),
    }
    a, b = century_value(m, mb), century_value(n, nb)
    values: tuple[str, ...] = (f"{a}/{b}",)
    if " or " in template:
        values = (f"[{a},{b}]",)
    elif "between" in template:
        values = (f"[{a}..{b}]",)
    elif " and " in template:
        values = (a, b)
    elif template.startswith(("since", "after")) or "onward" in template or "present" in template:
        values = (f"{b}/..",)
    elif template.startswith(("before", "until", "by ", "prior")):
        values = (f"../{b}",)
    fields = {}
    if "<p>" in template:
        fields = {"part": f"{p}/{q}" if "<q>" in template else p}
    return Sample(fill(template, **slots), values, fields)


forms("centuries", centuries)


def millennia(r: Choices, template: str) -> Sample:
    before = r.chance(0.75)
    m = r.number(2, 8) if before else r.number(1, 2)
    n = m - 1 if before else m + 1
    tail = era(r, before, 0.4)
    a, b = (f"{'-' if before else ''}{k - 1}{3 * 'X'}" for k in (m, n))
    values: tuple[str, ...] = (f"{a}/{b}",)
    if " or " in template:
        values = (f"[{a},{b}]",)
    elif " and " in template:
        values = (a, b)
    elif template.startswith("since"):
        values = (f"{b}/..",)
    elif template.startswith("before"):
        values = (f"../{b}",)
    number = (lambda k: ORDINALS[k - 1]) if r.chance(0.35) else ordinal
    slots = {"A": number(m), "B": number(n), "era": tail, "to": lambda: between_periods(r)}
    return Sample(fill(template, **slots), values)


forms("millennia", millennia)
