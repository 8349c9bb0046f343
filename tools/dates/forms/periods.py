"""Decades, centuries and millennia, their parts, and ranges of them."""

from __future__ import annotations

from .core import ORDINALS, Choices, Sample, dash, fill, forms, ordinal
from .points import part_of

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
    return f"{tens}0{r.one('s', 's', 's', 's', 's', chr(39) + 's', '’s', 'S')}{tail}", f"{tens:03d}X"


def century_number(r: Choices, number: int, high: int = 21) -> str:
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


forms(
    "decade",
    decade,
    """
*<D>
*the <D>
*in the <D>
in <D>
during the <D>
the decade of the <D>
dating from the <D>
of the <D>
the years of the <D>
back in the <D>
""",
)


def decade_part(r: Choices, template: str) -> Sample:
    (text, value), (part, said) = a_decade(r), part_of(r)
    if said.endswith("of "):
        said += "the "
    return Sample(fill(template, D=text, part=said, P=said.capitalize()), (value,), {"part": part})


forms(
    "decade",
    decade_part,
    """
*<part><D>
*the <part><D>
<P><D>
*in the <part><D>
in <part><D>
during the <part><D>
dated to the <part><D>
""",
)


def century(r: Choices, template: str) -> Sample:
    number, before = a_century(r)
    text = fill(template, C=century_text(r, number, before), n=century_number(r, number))
    return Sample(text, (century_value(number, before),))


forms(
    "century",
    century,
    """
*<C>
*the <C>
*in the <C>
during the <C>
in <C>
dated to the <C>
dating from the <C>
of the <C>
throughout the <C>
some time in the <C>
the whole of the <C>
""",
    weight=2,
)


def century_part(r: Choices, template: str) -> Sample:
    number, before = a_century(r)
    part, said = part_of(r)
    sep = r.one("-", " ") if said.endswith(" ") and not said.endswith("of ") and r.chance(0.15) else None
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
        template, C=century_text(r, number, before), part=said, P=said.capitalize(), half=shown,
        H=shown.capitalize(),
    )  # fmt: skip
    fields = {"part": half if "half>" in template or "<H>" in template else part}
    return Sample(text, (century_value(number, before),), fields)


forms(
    "century",
    century_part,
    """
*<part><C>
<P><C>
*the <part><C>
in the <part><C>
during the <part><C>
dated to the <part><C>
*<half> of the <C>
the <half> of the <C>
in the <half> of the <C>
<H> of the <C>
during the <half> of the <C>
""",
    weight=1.5,
)


def millennium(r: Choices, template: str) -> Sample:
    before = r.chance(0.7)
    number = r.number(1, 9) if before else r.number(1, 3)
    name = r.one(" millennium", " millennium", " millennium", " Millennium", " millenium", "-millennium", " mill.")
    shown = (ordinal(number) if r.chance(0.65) else ORDINALS[number - 1]) + name + era(r, before, 0.4)
    part, said = part_of(r)
    if said.endswith("of "):
        said += "the "
    half = r.pick(HALVES)
    fields = {"part": part} if "part>" in template or "<P>" in template else {}
    if "<half>" in template:
        fields = {"part": half}
    text = fill(template, K=shown, part=said, P=said.capitalize(), half=half)
    return Sample(text, (f"{'-' if before else ''}{number - 1}XXX",), fields)


forms(
    "millennium",
    millennium,
    """
*<K>
*the <K>
in the <K>
during the <K>
dating from the <K>
*<part><K>
the <part><K>
<P><K>
in the <part><K>
*<half> of the <K>
the <half> of the <K>
in the <half> of the <K>
""",
)


def between_periods(r: Choices) -> str:
    """Between two periods in a range: a dash or a word."""
    return dash(r, 0.4) if r.chance(0.55) else " " + r.one("to", "to", "to", "through", "until") + " "


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


forms(
    "decades",
    decades,
    """
*<A><to><B>
the <A><to><B>
*from the <A> to the <B>
from the <A> until the <B>
the <A> to the <B>
the <A> through the <B>
*<A> and <B>
the <A> and <B>
in the <A> and <B>
the <A> and the <B>
*<A> <or> <B>
the <A> <or> <B>
in the <A> <or> the <B>
*between the <A> and the <B>
between the <A> and <B>
*since the <A>
from the <A> onwards
*until the <A>
before the <A>
after the <A>
*<p><A> to <q><B>
*<p><A><to><q><B>
the <p><A> to the <q><B>
from the <p><A> to the <q><B>
from the <p><A> until the <q><B>
*since the <p><A>
until the <p><A>
""",
)


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
        "X": lambda: number(m) + " century" + (era(r, mb) if mb else tail if not nb and mb == nb else ""),
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
    elif template.startswith("since") or "onward" in template or template.startswith("after"):
        values = (f"{b}/..",)
    elif "present" in template:
        values = (f"{b}/..",)
    elif template.startswith(("before", "until", "by ", "prior")):
        values = (f"../{b}",)
    fields = {}
    if "<p>" in template:
        fields = {"part": f"{p}/{q}" if "<q>" in template else p}
    return Sample(fill(template, **slots), values, fields)


forms(
    "centuries",
    centuries,
    """
*<A><to><B><cents><era>
the <A><to><B><cents><era>
the <A> to <B><cents><era>
*the <A> to the <B><cents><era>
from the <A> to the <B><cent><era>
from the <A> until the <B><cent><era>
<A> to <B><cents><era>
in the <A><to><B><cents><era>
*<A> and <B><cents><era>
the <A> and <B><cents><era>
in the <A> and <B><cents><era>
during the <A> and <B><cents><era>
*<A> or <B><cent><era>
the <A> or <B><cent><era>
in the <A> or <B><cent><era>
either the <A> or the <B><cent><era>
*between the <A> and <B><cents><era>
between the <A> and the <B><cent><era>
*<X><to><Z>
<X> – <Z>
from the <X> to the <Z>
from the <X> until the <Z>
the <X> to the <Z>
*<X> or <Z>
<X> and <Z>
*since the <Z>
from the <Z> onwards
*after the <Z>
*<Z> – present
<Z> to the present
from the <Z> to the present day
*before the <Z>
until the <Z>
*by the <Z>
prior to the <Z>
*<p><A> – <q><B><cent><era>
*<p><A> to <q><B><cents><era>
the <p><A> to the <q><B><cent><era>
from the <p><A> to the <q><B><cent><era>
<p><X><to><q><Z>
*<p><X> to <q><Z>
from the <p><X> to the <q><Z>
""",
    weight=1.0,
)


def millennia(r: Choices, template: str) -> Sample:
    before = r.chance(0.75)
    m = r.number(2, 8) if before else r.number(1, 2)
    n = m - 1 if before else m + 1
    tail = era(r, before, 0.4)
    a, b = (f"{'-' if before else ''}{k - 1}XXX" for k in (m, n))
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


forms(
    "millennia",
    millennia,
    """
*<A><to><B> millennia<era>
<A><to><B> millennium<era>
the <A> to the <B> millennium<era>
from the <A> to the <B> millennium<era>
*<A> and <B> millennia<era>
the <A> and <B> millennia<era>
*<A> or <B> millennium<era>
*since the <B> millennium<era>
*before the <B> millennium<era>
""",
    weight=1.0,
)
