"""Markup of encyclopedias, remarks, durations, and dates inside of sentences."""

from __future__ import annotations

from .core import (
    MONTHS,
    TRAIN,
    Choices,
    Sample,
    a_day,
    a_month,
    a_year,
    dash,
    edtf_year,
    era_text,
    fill,
    forms,
    later,
    month_text,
    year_text,
)
from .points import point

ANY = (
    "day", "day", "day in figures", "month", "year", "year", "season", "years", "years", "elided years",
    "days in a month", "days in a year", "months", "across years", "across years", "circa and doubt",
    "circa and doubt", "decade", "century", "centuries", "part of a month or year", "alternatives",
    "births and deaths", "reigns", "open ranges", "several dates", "old and new style",
)  # fmt: skip


def anything(r: Choices) -> Sample:
    return TRAIN.draw(r, r.pick(ANY))


def optional(r: Choices) -> str:
    return r.one("", "", "|df=y", "|df=yes", "|mf=y", "|mf=yes", "|df=1")


def wiki(r: Choices, template: str) -> Sample:
    number = r.number(1500, 2024) if r.chance(0.7) else r.number(200, 1999)
    year = number, False
    month = a_month(r)
    day = a_day(r, year, month)
    last = later(r, year)
    pad = r.chance(0.25)
    full = f"{number}|{month:02d}|{day:02d}" if pad else f"{number}|{month}|{day}"
    options = optional(r)
    date_first = r.chance(0.3)
    until = f"{last[0]}|{a_month(r)}|{r.number(1, 28)}"
    m2, d2 = a_month(r), r.number(1, 28)
    until = f"{last[0]}|{m2}|{d2}"
    era_year = a_year(r)
    era_last = later(r, era_year)
    while era_year[1] != era_last[1]:
        era_year = a_year(r)
        era_last = later(r, era_year)
    era = era_text(r, era_last).strip() if era_last[1] else ""
    say = lambda *names: (lambda: r.one(*names))  # noqa: E731
    text = fill(
        template,
        start=say("start date", "Start date", "start-date", "film date", "startdate"),
        age=say(" and age", " and age", " and years ago"),
        birth=say("birth date", "Birth date", "birth-date", "Birth-date", "bda", "dob", "BirthDate"),
        death=say("death date", "Death date", "death-date", "DeathDate"),
        end=say("end date", "End date"),
        D=f"{options[1:]}|{full}" if date_first and options else full + options,
        YM=f"{number}|{month:02d}" if pad else f"{number}|{month}", Y=str(number),
        born=f"{number - r.number(20, 90)}|{a_month(r)}|{r.number(1, 28)}",
        circa=say("circa", "c.", "Circa", "ca.", "approx"),
        fl=say("floruit", "fl.", "Floruit", "fl"), reign=say("reign", "Reign", "reigned", "r."),
        E=str(era_year[0]) + (" " + era if era else ""), F=str(era_year[0]), L=str(era_last[0]) + (" " + era if era else ""),
        until=until, m=MONTHS[month - 1], d=str(day), dts=say("dts", "Dts", "date", "Date", "sort date"),
        M=str(last[0]),
    )  # fmt: skip
    value = f"{number:04d}"
    fields: dict[str, str] = {}
    if "<D>" in template or "<m>" in template:
        value += f"-{month:02d}-{day:02d}"
    elif "<YM>" in template:
        value += f"-{month:02d}"
    if "<E>" in template:
        value = edtf_year(era_year)
    elif "<F>" in template:
        value = edtf_year(era_year)
    if "<L>" in template:
        mark = "~" if "<circa>" in template else ""
        value = f"{value}{mark}/{edtf_year(era_last)}{mark}"
    elif "<circa>" in template:
        value += "~"
    elif "<until>" in template:
        value += f"/{last[0]:04d}-{m2:02d}-{d2:02d}"
    elif "<M>" in template:
        value += f"/{last[0]:04d}"
    for sign, kind in (("<birth>", "born"), ("<death>", "died"), ("<fl>", "flourished"), ("<reign>", "reigned")):
        if sign in template:
            fields["kind"] = kind
    return Sample(text.replace("{{bda", "{{birth date") if "age" in template else text, (value,), fields)


forms(
    "wiki templates",
    wiki,
    """
*{{<start>|<D>}}
*{{<start>|<YM>}}
*{{<start>|<Y>}}
*{{<start><age>|<D>}}
{{<start><age>|<YM>}}
{{<start><age>|<Y>}}
*{{<birth>|<D>}}
{{<birth>|<YM>}}
{{<birth>|<Y>}}
*{{<birth><age>|<D>}}
{{<birth><age>|<Y>}}
*{{<death>|<D>}}
{{<death>|<Y>}}
*{{<death><age>|<D>|<born>}}
{{<death><age>|<Y>|<born>}}
*{{<end>|<D>}}
{{<end>|<YM>}}
{{<end>|<Y>}}
*{{<dts>|<D>}}
{{<dts>|<YM>}}
{{<dts>|<m> <d>, <Y>}}
{{<dts>|<d> <m> <Y>}}
*{{<circa>|<E>}}
*{{<circa>|<F>|<L>}}
{{<circa>}} <E>
*{{<fl>|<E>}}
*{{<fl>|<F>|<L>}}
*{{<reign>|<F>|<L>}}
{{<reign>|<F> – <L>}}
{{<start>|<D>}} – {{<end>|<until>}}
*{{<start>|<D>}}–{{<end>|<until>}}
{{<start>|<Y>}} – {{<end>|<M>}}
""",
    weight=1.0,
)


def wrapped(r: Choices, template: str) -> Sample:
    """Marks around any date that leave its meaning alone."""
    inner = anything(r)
    number = str(r.number(1, 99))
    text = fill(
        template, X=inner.text, n=number, word=lambda: r.one("asc", "smith2004", "EB1911", "p12", "a", "Jones"),
        **{tag: f"<{tag}>" for tag in ("b", "br", "sup", "ref", "small")},
        page=lambda: str(r.number(2, 480)),
    )  # fmt: skip
    return Sample(text, inner.values, inner.fields)


forms(
    "marks around a date",
    wrapped,
    """
*{{nowrap|<X>}}
{{Nowrap|<X>}}
{{small|<X>}}
{{nobr|<X>}}
{{lang|en|<X>}}
*[[<X>]]
*<X>[<n>]
<X>[<n>][<n>]
<X> [<n>]
<X>[note <n>]
<X>[a]
*<X>[citation needed]
<X>{{citation needed}}
<X>{{cn}}
<X>{{efn|see p. <page>}}
*<X><ref name="<word>"/>
<X><ref name=<word> />
<X><ref>{{cite book|p=<page>}}</ref>
<X><ref>Smith, p. <page></ref>
<X><sup>[<n>]</sup>
*'''<X>'''
''<X>''
<b><X></b>
<small><X></small>
<small>(<X>)</small>
<X><br>
<X><br />
*(<X>)
( <X> )
[<X>]
"<X>"
“<X>”
<X>.
<X>,
<X>;
: <X>
<X> †
<X>*
| <X>
""",
    weight=1.0,
)


def links(r: Choices, template: str) -> Sample:
    """Links and entities within a date."""
    year = a_year(r)
    if "<to>" in template:
        year = r.number(1000, 2019), False
    last = later(r, year)
    month = a_month(r)
    day = a_day(r, year, month)
    name = MONTHS[month - 1]
    two = last[0] % 100
    short = f"{two:02d}" if not last[1] and last[0] // 100 == year[0] // 100 else str(last[0])
    shown = year_text(r, year)
    text = fill(
        template, d=str(day), m=name if r.chance(0.8) else month_text(r, month), Y=shown, N=str(year[0]), L=str(last[0]), S=short,
        c=lambda: r.one("c.", "ca.", "circa", "C.", "about"), to="", en=lambda: r.one("&ndash;", "&#8211;", "&mdash;", "{{ndash}}", "{{snd}}", "&#x2013;", " &ndash; "),
        sp=lambda: r.one("&nbsp;", "&nbsp;", "&#160;", "\u00a0", "{{nbsp}}"),
    )  # fmt: skip
    value = edtf_year(year)
    if "<d>" in template:
        value += f"-{month:02d}-{day:02d}"
    elif "<m>" in template:
        value += f"-{month:02d}"
    if "<c>" in template:
        value += "~"
    if "<L>" in template or "<S>" in template:
        value += f"/{edtf_year(last)}"
    return Sample(text, (value,))


forms(
    "links and entities",
    links,
    """
*[[<Y>]]
in [[<Y>]]
*[[<d> <m>]] [[<Y>]]
*[[<m> <d>]], [[<Y>]]
[[<d> <m>]], [[<Y>]]
[[<d> <m> <Y>]]
[[<m> <d>, <Y>]]
<d> <m> [[<Y>]]
<m> <d>, [[<Y>]]
on [[<m> <d>]], [[<Y>]]
[[<m>]] [[<Y>]]
<m> [[<Y>]]
[[<Y>|<Y>]]
[[<d> <m>|<d> <m>]] [[<Y>]]
*<c><sp><Y>
<c><sp><m> <Y>
*<d><sp><m><sp><Y>
<d><sp><m> <Y>
<m><sp><d>, <Y>
<m><sp><Y>
*<N><en><L><to>
*<N><en><S><to>
[[<N>]]–[[<L>]]<to>
[[<N>]]–<S><to>
[[<N>]] – [[<L>]]<to>
[[<N>]] to [[<L>]]<to>
*<c> [[<Y>]]
""",
)


def ages(r: Choices, template: str) -> Sample:
    """A duration or a remark in parentheses after a date says nothing of its own."""
    if "<A>" in template:
        inner = TRAIN.draw(r, r.pick(("across years", "years", "elided years", "days in a year", "days in a month")))
    elif "<R>" in template:
        inner = TRAIN.draw(r, r.pick(("day", "year", "month", "births and deaths")))
    else:
        inner = point(r)
    n = r.number(1, 99)
    length = lambda: r.one(f"{n} years", f"{n} years", f"{n} months", f"{n} days", f"{n} yrs", f"{n} years old", f"{n} weeks")  # noqa: E731
    text = fill(
        template, P=inner.text, A=inner.text, R=inner.text, n=str(n), m=str(r.number(1, 11)), k=str(r.number(1, 364)),
        long=length, aged=lambda: r.one("aged", "aged", "age", "at age", "at the age of", "aged about"),
        remark=lambda: r.one("baptised", "baptized", "burial", "traditional date", "first edition", "observed", "coronation", "unveiled", "published", "in Paris", "christened", "first performance", "consecrated"),
    )  # fmt: skip
    return Sample(text, inner.values, inner.fields)


forms(
    "durations and remarks",
    ages,
    """
*<A> (<long>)
<A>, <long>
<A> (about <long>)
*<A> (<n> years and <m> months)
<A> (<n> years, <m> months)
*<A> (<n> years, <k> days)
<A> (<n> years and <k> days)
<A> (<m> months and <n> days)
<A> (<n> years, <m> months and <k> days)
<A> (duration: <long>)
<A> – a total of <long>
*<A> (<aged> <n>)
<A>, <aged> <n>
*<R> (<aged> <n>)
<R>, <aged> <n>
<R> [<aged> <n>]
<R> (<aged> <n>–<n>)
<R> (<n> years ago)
<R>; <aged> <n>
*<P> (<remark>)
<P>, <remark>
<P> [<remark>]
*<remark> <P>
<remark>: <P>
""",
)

SUBJECTS = (
    "The battle", "The treaty", "The church", "Construction", "The company", "Her first novel", "The siege", "The bridge",
    "The king", "The exhibition", "The railway", "His coronation", "The castle", "The festival", "The concert", "Work",
    "The old abbey", "This manuscript", "The agreement", "The project", "Our contract", "The meeting", "My order",
    "The conference", "The tournament", "The law", "The tower", "The city wall", "A great fire", "The expedition",
    "The first edition", "The opera", "Their house", "The warranty", "The new office", "The flight", "The invoice",
)  # fmt: skip
VERBS = (
    "was founded", "took place", "began", "was signed", "was built", "ended", "was held", "started", "was completed",
    "opened", "was destroyed", "is due", "was published", "happened", "closed", "was restored", "came into force",
    "was discovered", "will start", "will take place", "expires", "was demolished", "was first performed", "was delivered",
    "must be paid", "is planned", "was moved", "fell", "was launched", "will end", "was recorded", "is scheduled",
)  # fmt: skip
PLACES = (
    "in Dallas", "near Ghent", "in Rome", "at sea", "in northern Italy", "on the Rhine", "in the capital", "at the palace",
    "in New York", "off the coast of Chile", "in what is now Turkey", "in the presence of 300 guests", "for the second time",
    "by order of the council", "with 12 ships", "at a cost of 4000 pounds", "under Charles V", "by Henry VIII",
    "killing 20 people", "after a long delay", "at the age of 34", "in chapter 7", "on platform 9", "for $250", "with 40 others",
)  # fmt: skip
PEOPLE = ("I", "I", "We", "You", "The team", "My parents", "She", "He", "They", "We", "My brother", "The manager", "Anna", "Dr. Brown", "Everyone")
ACTS = (
    "arrived", "left the city", "married", "will travel", "moved to Boston", "signed the papers", "returned home", "met him",
    "will be away", "started a job", "went back", "was elected", "took the throne", "worked there", "bought a house",
    "visited Japan", "plan to go", "want to leave", "have been away", "need a room", "got it", "must finish", "drove to Spain", "was in Spain", "stayed in Leeds", "will come back", "has been on holiday", "can travel",
)  # fmt: skip
THINGS = ("sales", "profits", "the figures", "all orders", "the records", "prices", "exports", "results", "reports", "photos", "emails", "the invoices")
ASKS = ("Show", "Show me", "List", "Find", "Give me", "Tell me about", "What were", "How about", "I need", "Please send", "Look up", "Search for")


WORDS = (
    "river", "the", "history", "of", "castle", "music", "a", "Italian", "painter", "and", "school", "large", "from", "province", "village", "to",
    "northern", "species", "in", "album", "by", "football", "club", "with", "queen", "treaty", "island", "church", "famous", "bridge", "on", "old",
    "house", "city", "is", "was", "war", "army", "mountain", "between", "station", "known", "for", "road", "at", "poet", "before", "after", "lake",
)  # fmt: skip
SYLLABLES = ("b", "br", "c", "ch", "d", "dr", "f", "g", "gr", "h", "j", "k", "l", "m", "n", "p", "qu", "r", "s", "sh", "st", "t", "th", "tr", "v", "w", "z", "")
VOWELS = ("a", "e", "i", "o", "u", "ai", "ea", "ou", "y", "io")
ENDINGS = ("", "", "n", "r", "s", "l", "t", "ng", "ck", "x", "m", "nd")


def a_word(r: Choices) -> str:
    """A word of a list, or one that does not exist: what stands around a date may be anything."""
    if r.chance(0.6):
        return r.pick(WORDS)
    made = "".join(r.pick(SYLLABLES) + r.pick(VOWELS) for _ in range(r.number(1, 3))) + r.pick(ENDINGS)
    return made.capitalize() if r.chance(0.3) else made


def words(r: Choices, most: int = 5) -> str:
    return " ".join(a_word(r) for _ in range(r.number(1, most)))


def a_file(r: Choices, template: str) -> Sample:
    """A date in the name of a file or an address."""
    year, month = (r.number(1980, 2029), False), a_month(r)
    day = a_day(r, year, month)
    text = fill(
        template, y=f"{year[0]}", m=f"{month:02d}", d=f"{day:02d}", w=lambda: a_word(r), n=str(r.number(1, 9999)),
        ext=lambda: r.one("pdf", "txt", "csv", "html", "xlsx", "jpg", "log"), _="_",
    )  # fmt: skip
    return Sample(text, (f"{year[0]}-{month:02d}-{day:02d}",))


forms(
    "names of files",
    a_file,
    """
*<w>-<y>-<m>-<d>.<ext>
<w>_<y>-<m>-<d>.<ext>
<y>-<m>-<d>-<w>.<ext>
*<w>-<y><m><d>.<ext>
<w>_<y><m><d>.<ext>
<y><m><d>_<w>.<ext>
www.<w>.com/<w>/<y>-<m>-<d>
www.<w>.com/<y>/<m>/<d>/<w>.html
www.<w>.com/<w>/<n>/<w>-<y>-<m>-<d>
The file <w>-<y>-<m>-<d>.<ext>
""",
)

def sentence(r: Choices, template: str) -> Sample:
    """A sentence around a date; where `in` or `on` stands, the date takes it."""
    if "<on>" in template:
        inner = TRAIN.draw(r, r.pick(("day", "day in figures", "day in figures", "years in words")))
    elif "<in>" in template:
        inner = TRAIN.draw(r, r.pick(("year", "year", "month", "month", "season", "years in words", "decade", "century", "quarter", "part of a month or year")))
    elif "<span>" in template:
        inner = TRAIN.draw(r, r.pick(("years", "across years", "across years", "days in a month", "days in a year", "months", "open ranges", "alternatives", "decades", "centuries", "seasons")))
    else:
        inner = anything(r)
    shown = inner.text
    lower = shown.lower()
    if "<on>" in template and not lower.startswith(("on ", "at ", "in ")):
        shown = r.one("on ", "on ", "on ", "") + shown
    if "<in>" in template and not lower.startswith(("in ", "during", "at ", "dat", "of ", "by ", "as ", "through", "back", "some", "on ")):
        shown = r.one("in ", "in ", "in ", "during ") + shown
    text = fill(
        template, X=shown, on=shown, span=shown, subject=lambda: r.pick(SUBJECTS), verb=lambda: r.pick(VERBS), place=lambda: r.pick(PLACES),
        person=lambda: r.pick(PEOPLE), act=lambda: r.pick(ACTS), things=lambda: r.pick(THINGS), ask=lambda: r.pick(ASKS),
        words=lambda: words(r), Words=lambda: words(r, 6).capitalize(), made=lambda: a_word(r),
        end=lambda: r.one(".", ".", "", "!", "?"), **{"in": shown},
    )  # fmt: skip
    return Sample(text, inner.values, inner.fields)


forms(
    "sentences",
    sentence,
    """
*<subject> <verb> <on>
*<subject> <verb> <on><end>
<subject> <verb> <on> <place><end>
<subject> <verb> <place> <on><end>
<on>, <place>
*<on> <place>
<on>, <subject> <verb><end>
<person> <act> <on>
*<person> <act> <on><end>
<person> <act> <place> <on><end>
<on> <person> <act><end>
<ask> <things> from <on>
<place>, <on>
*<subject> <verb> <in><end>
<subject> <verb> <in> <place><end>
<subject> <verb> <place> <in><end>
<in>, <place>
*<in>, <subject> <verb><end>
<in> <subject> <verb><end>
<person> <act> <in><end>
<person> <act> <place> <in>
*<ask> <things> <in>
<ask> <things> <in><end>
<things> <in>
*<subject> <verb> <span><end>
<subject> <verb> <place> <span><end>
<span>, <place>
<span>, <subject> <verb><end>
*<person> <act> <span><end>
<person> <act> <span> <place><end>
<ask> <things> <span>
*<ask> <things> <span><end>
<things> <span><end>
*<subject>, <X>
<subject> (<X>)
<subject> <place> (<X>)
*<subject> (<X>) <place>
<subject>: <X>
<X>: <subject>
<subject> – <X>
<subject>, <X>, <place>
The date is <X><end>
*The period is <X><end>
Is this right? <X>
Date: <X>
Dates: <X>
Date of <subject>: <X>
<subject>; <X>
*<Words> <on>
<Words> <on> <words><end>
<words> <on> <words>
*<Words> <in><end>
<words> <in> <words><end>
<Words> <span><end>
*<Words> <span> <words><end>
<words> <span>
*<Words> (<X>)
<Words>, <X>, <words><end>
<Words>: <X>
<words> <made> (<X>) <words>
<X>, <words>
<on>, <words> <made><end>
<in>, <words> <made><end>
""",
    weight=1.0,
)
