"""Dates in German, French, Spanish, Italian, Portuguese and Dutch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from .core import (
    ROMAN,
    Choices,
    Sample,
    a_day,
    a_month,
    a_year,
    a_year_before,
    dash,
    edtf_year,
    fill,
    forms,
    later,
    number_text,
    ordinal,
)


@dataclass(frozen=True)
class Language:
    """The words of a language; `templates` by the kind of date."""

    months: str
    short: str
    before: tuple[str, ...]
    after: tuple[str, ...]
    circa: tuple[str, ...]
    to: tuple[str, ...]
    seasons: dict[str, int]
    weekdays: str
    maybe: tuple[str, ...]
    ordinals: str
    century: str
    templates: dict[str, str]


GERMAN = Language(
    "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
    "Jan. Feb. März Apr. Mai Juni Juli Aug. Sept. Okt. Nov. Dez.",
    (" v. Chr.", " v. Chr.", " v. Chr.", " v.Chr.", " vor Christus", " v. u. Z.", " v. Chr"),
    (" n. Chr.", " n. Chr.", " n.Chr.", " nach Christus"),
    ("um ", "um ", "ca. ", "circa ", "etwa ", "gegen ", "zirka ", "ungefähr "),
    (" bis ", " bis ", " – ", "–", "-"),
    {"Frühling": 21, "Frühjahr": 21, "Sommer": 22, "Herbst": 23, "Winter": 24},
    "Montag Dienstag Mittwoch Donnerstag Freitag Samstag Sonntag",
    ("vermutlich ", "wahrscheinlich ", "vielleicht ", "möglicherweise "),
    "ersten zweiten dritten vierten fünften sechsten siebten achten neunten zehnten elften zwölften "
    "dreizehnten vierzehnten fünfzehnten sechzehnten siebzehnten achtzehnten neunzehnten zwanzigsten",
    "<n>. Jahrhundert",
    {
        "day": "*<d>. <mon> <Y>\nam <d>. <mon> <Y>\n<wday>, <d>. <mon> <Y>\n<wday>, der <d>. <mon> <Y>\nden <d>. <mon> <Y>\n<d>. <mon>, <Y>\nder <d>. <mon> <Y>\n<d> <mon> <Y>",
        "month": "*<mon> <Y>\nim <mon> <Y>\n<mon>, <Y>\nim <mon> des Jahres <Y>",
        "year": "*im Jahr <Y>\nim Jahre <Y>\n*<Y>\nJahr <Y>\ndas Jahr <Y>",
        "season": "*<S> <Y>\nim <S> <Y>\nim <S> des Jahres <Y>",
        "circa": "*<c><Y>\n<c><d>. <mon> <Y>\n<c><mon> <Y>\n*<maybe><Y>\n<Y> (?)\n<maybe><mon> <Y>",
        "century": "*<n>. Jahrhundert<era>\nim <n>. Jahrhundert<era>\n*<n>. Jh.<era>\nim <n>. Jh.<era>\n*das <nth> Jahrhundert<era>\nim <nth> Jahrhundert<era>",
        "part": "*early: frühes <n>. Jahrhundert<era>\n*early: Anfang des <n>. Jahrhunderts<era>\n*early: im frühen <n>. Jahrhundert<era>\n*mid: Mitte des <n>. Jahrhunderts<era>\n*late: spätes <n>. Jahrhundert<era>\n*late: Ende des <n>. Jahrhunderts<era>\nlate: im späten <n>. Jahrhundert<era>\n*first half: erste Hälfte des <n>. Jahrhunderts<era>\n*second half: zweite Hälfte des <n>. Jahrhunderts<era>\n*first half: 1. Hälfte des <n>. Jahrhunderts<era>\n*second half: 2. Hälfte <n>. Jh.<era>",
        "decade": "*<D>er Jahre\n*<D>er-Jahre\ndie <D>er Jahre\nin den <D>er Jahren",
        "range": "*<A><to><B>\nvon <A> bis <B>\n*<d>. <mon><to><e>. <mos> <Y>\nvom <d>. <mon> bis <e>. <mos> <Y>\n*<d>. <mon> <A><to><e>. <mos> <B>\n<d>.–<e2>. <mon> <Y>\n*zwischen <A> und <B>\n*<A> oder <B>\n*<mon><to><mos> <Y>",
        "open": "*before: vor <Y>\n*after: nach <Y>\n*after: seit <Y>\n*after: ab <Y>\n*before: bis <Y>\n*before: spätestens <Y>\n*after: frühestens <Y>",
        "life": "*born: geboren <Y>\n*born: * <d>. <mon> <Y>\n*born: geb. <d>. <mon> <Y>\n*died: gestorben <Y>\n*died: † <d>. <mon> <Y>\n*died: gest. <d>. <mon> <Y>\nborn: geboren am <d>. <mon> <Y>\ndied: gestorben am <d>. <mon> <Y>",
    },
)
FRENCH = Language(
    "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    "janv. févr. mars avr. mai juin juil. août sept. oct. nov. déc.",
    (" av. J.-C.", " av. J.-C.", " avant J.-C.", " av. J.C.", " avant Jésus-Christ", " av. n. è."),
    (" apr. J.-C.", " ap. J.-C.", " après J.-C."),
    ("vers ", "vers ", "environ ", "ca. ", "autour de ", "aux environs de ", "circa "),
    (" à ", "-", "–", " – ", " au "),
    {"printemps": 21, "été": 22, "automne": 23, "hiver": 24},
    "lundi mardi mercredi jeudi vendredi samedi dimanche",
    ("peut-être ", "probablement ", "sans doute ", "vraisemblablement "),
    "premier deuxième troisième quatrième cinquième sixième septième huitième neuvième dixième onzième "
    "douzième treizième quatorzième quinzième seizième dix-septième dix-huitième dix-neuvième vingtième",
    "<R>e siècle",
    {
        "day": "*<d1> <mon> <Y>\n*le <d1> <mon> <Y>\n<wday> <d1> <mon> <Y>\nle <wday> <d1> <mon> <Y>\n<d1> <mon>, <Y>\nau <d1> <mon> <Y>",
        "month": "*<mon> <Y>\nen <mon> <Y>\nau mois de <mon> <Y>\n<mon>, <Y>",
        "year": "*en <Y>\nl'an <Y>\nen l'an <Y>\n*<Y>\nl'année <Y>",
        "season": "*<S> <Y>\nau <S> <Y>\nl'<S> <Y>\n<S> de <Y>",
        "circa": "*<c><Y>\n<c><mon> <Y>\n<c><d1> <mon> <Y>\n*<maybe><Y>\n<maybe>en <Y>\n<Y> (?)",
        "century": "*<R>e siècle<era>\n*le <R>e siècle<era>\nau <R>e siècle<era>\n*<R>ème siècle<era>\n<n>e siècle<era>\n*le <nth> siècle<era>\nau <nth> siècle<era>\n<R>ᵉ siècle<era>",
        "part": "*early: début du <R>e siècle<era>\nearly: au début du <R>e siècle<era>\n*mid: milieu du <R>e siècle<era>\nmid: au milieu du <R>e siècle<era>\n*late: fin du <R>e siècle<era>\nlate: à la fin du <R>e siècle<era>\n*first half: première moitié du <R>e siècle<era>\n*second half: seconde moitié du <R>e siècle<era>\n*second half: deuxième moitié du <R>e siècle<era>",
        "decade": "*années <D>\n*les années <D>\ndans les années <D>",
        "range": "*<A><to><B>\nde <A> à <B>\n*du <d1> <mon> au <e> <mos> <Y>\n<d1> <mon> – <e> <mos> <Y>\n*<d1> <mon> <A> – <e> <mos> <B>\n*entre <A> et <B>\n*<A> ou <B>\n<d>-<e2> <mon> <Y>\ndu <d> au <e2> <mon> <Y>\n*<mon><to><mos> <Y>",
        "open": "*before: avant <Y>\n*after: après <Y>\n*after: depuis <Y>\n*after: à partir de <Y>\n*before: jusqu'en <Y>\n*before: au plus tard en <Y>",
        "life": "*born: né en <Y>\nborn: née en <Y>\n*born: né le <d1> <mon> <Y>\nborn: née le <d1> <mon> <Y>\n*died: mort en <Y>\ndied: morte le <d1> <mon> <Y>\n*died: mort le <d1> <mon> <Y>",
    },
)
SPANISH = Language(
    "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
    "ene. feb. mar. abr. may. jun. jul. ago. sept. oct. nov. dic.",
    (" a. C.", " a. C.", " a.C.", " a. de C.", " antes de Cristo", " a. e. c."),
    (" d. C.", " d.C.", " después de Cristo"),
    ("hacia ", "hacia ", "c. ", "alrededor de ", "en torno a ", "aproximadamente ", "cerca de "),
    (" a ", "-", "–", " – ", " hasta "),
    {"primavera": 21, "verano": 22, "otoño": 23, "invierno": 24},
    "lunes martes miércoles jueves viernes sábado domingo",
    ("quizás ", "probablemente ", "posiblemente ", "tal vez "),
    "primero segundo tercero cuarto quinto sexto séptimo octavo noveno décimo undécimo duodécimo "
    "decimotercero decimocuarto decimoquinto decimosexto decimoséptimo decimoctavo decimonoveno vigésimo",
    "siglo <R>",
    {
        "day": "*<d> de <mon> de <Y>\nel <d> de <mon> de <Y>\n<wday>, <d> de <mon> de <Y>\n<d> <mon> <Y>\n<d> de <mon>, <Y>\n<d> de <mon> del año <Y>",
        "month": "*<mon> de <Y>\nen <mon> de <Y>\n<mon> <Y>\nel mes de <mon> de <Y>",
        "year": "*en <Y>\naño <Y>\nel año <Y>\nen el año <Y>\n*<Y>",
        "season": "*<S> de <Y>\nen la <S> de <Y>\nel <S> de <Y>",
        "circa": "*<c><Y>\n<c><mon> de <Y>\n*<maybe><Y>\n<maybe>en <Y>\n<Y> (?)",
        "century": "*siglo <R><era>\n*el siglo <R><era>\nen el siglo <R><era>\n*s. <R><era>\ndel siglo <R><era>",
        "part": "*early: principios del siglo <R><era>\n*early: comienzos del siglo <R><era>\nearly: a principios del siglo <R><era>\n*mid: mediados del siglo <R><era>\nmid: a mediados del siglo <R><era>\n*late: finales del siglo <R><era>\nlate: a finales del siglo <R><era>\n*late: fines del siglo <R><era>\n*first half: primera mitad del siglo <R><era>\n*second half: segunda mitad del siglo <R><era>",
        "decade": "*años <D>\n*década de <D>\nla década de <D>\nlos años <D>",
        "range": "*<A><to><B>\nde <A> a <B>\n*del <d> de <mon> al <e> de <mos> de <Y>\n*<d> de <mon> de <A> – <e> de <mos> de <B>\n*entre <A> y <B>\n*<A> o <B>\n<d>-<e2> de <mon> de <Y>\n*<mon><to><mos> de <Y>\ndesde <A> hasta <B>",
        "open": "*before: antes de <Y>\n*after: después de <Y>\n*after: desde <Y>\n*after: a partir de <Y>\n*before: hasta <Y>",
        "life": "*born: nacido en <Y>\nborn: nacida en <Y>\n*born: nacido el <d> de <mon> de <Y>\n*died: fallecido en <Y>\ndied: fallecida el <d> de <mon> de <Y>\n*died: murió el <d> de <mon> de <Y>\ndied: murió en <Y>",
    },
)
ITALIAN = Language(
    "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre",
    "gen. feb. mar. apr. mag. giu. lug. ago. set. ott. nov. dic.",
    (" a.C.", " a.C.", " a. C.", " avanti Cristo"),
    (" d.C.", " d. C.", " dopo Cristo"),
    ("circa ", "circa ", "verso il ", "intorno al ", "c. ", "ca. ", "attorno al "),
    (" al ", "-", "–", " – ", " a "),
    {"primavera": 21, "estate": 22, "autunno": 23, "inverno": 24},
    "lunedì martedì mercoledì giovedì venerdì sabato domenica",
    ("forse ", "probabilmente ", "possibilmente "),
    "primo secondo terzo quarto quinto sesto settimo ottavo nono decimo undicesimo dodicesimo "
    "tredicesimo quattordicesimo quindicesimo sedicesimo diciassettesimo diciottesimo diciannovesimo ventesimo",
    "<R> secolo",
    {
        "day": "*<d> <mon> <Y>\nil <d> <mon> <Y>\n<wday> <d> <mon> <Y>\n1º <mon> <Y>\n<d> <mon>, <Y>\nl'<d> <mon> <Y>",
        "month": "*<mon> <Y>\nnel <mon> <Y>\nnel <mon> del <Y>\n<mon> del <Y>",
        "year": "*nel <Y>\nl'anno <Y>\nnell'anno <Y>\n*<Y>",
        "season": "*<S> <Y>\n<S> del <Y>\nnella <S> del <Y>",
        "circa": "*<c><Y>\n<Y> circa\n*<maybe><Y>\n<maybe>nel <Y>\n<Y> (?)\n<c><mon> <Y>",
        "century": "*<R> secolo<era>\n*il <R> secolo<era>\nnel <R> secolo<era>\n*secolo <R><era>\n*sec. <R><era>\n*<nth> secolo<era>",
        "part": "*early: inizio del <R> secolo<era>\n*early: inizi del <R> secolo<era>\n*mid: metà del <R> secolo<era>\nmid: alla metà del <R> secolo<era>\n*late: fine del <R> secolo<era>\nlate: alla fine del <R> secolo<era>\n*first half: prima metà del <R> secolo<era>\n*second half: seconda metà del <R> secolo<era>",
        "decade": "*anni <D>\ngli anni <D>",
        "range": "*<A><to><B>\ndal <A> al <B>\n*dal <d> <mon> al <e> <mos> <Y>\n*<d> <mon> <A> – <e> <mos> <B>\n*tra il <A> e il <B>\n*<A> o <B>\n<d>-<e2> <mon> <Y>\n*<mon><to><mos> <Y>\n*fra il <A> e il <B>",
        "open": "*before: prima del <Y>\n*after: dopo il <Y>\n*after: dal <Y>\n*before: fino al <Y>\n*before: entro il <Y>",
        "life": "*born: nato nel <Y>\nborn: nata nel <Y>\n*born: nato il <d> <mon> <Y>\n*died: morto nel <Y>\ndied: morta il <d> <mon> <Y>\n*died: morto il <d> <mon> <Y>",
    },
)
PORTUGUESE = Language(
    "janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro",
    "jan. fev. mar. abr. mai. jun. jul. ago. set. out. nov. dez.",
    (" a.C.", " a.C.", " a. C.", " antes de Cristo", " AEC"),
    (" d.C.", " d. C.", " depois de Cristo"),
    ("cerca de ", "por volta de ", "c. ", "aproximadamente ", "ca. "),
    (" a ", "-", "–", " – ", " até "),
    {"primavera": 21, "verão": 22, "outono": 23, "inverno": 24},
    "segunda-feira terça-feira quarta-feira quinta-feira sexta-feira sábado domingo",
    ("talvez ", "provavelmente ", "possivelmente "),
    "primeiro segundo terceiro quarto quinto sexto sétimo oitavo nono décimo",
    "século <R>",
    {
        "day": "*<d> de <mon> de <Y>\nem <d> de <mon> de <Y>\n1º de <mon> de <Y>\n<wday>, <d> de <mon> de <Y>\n<d> <mon> <Y>\na <d> de <mon> de <Y>",
        "month": "*<mon> de <Y>\nem <mon> de <Y>\n<mon> <Y>",
        "year": "*em <Y>\nno ano de <Y>\no ano de <Y>\n*<Y>\nano <Y>",
        "season": "*<S> de <Y>\nna <S> de <Y>\nno <S> de <Y>",
        "circa": "*<c><Y>\n<c><mon> de <Y>\n*<maybe><Y>\n<maybe>em <Y>",
        "century": "*século <R><era>\n*o século <R><era>\nno século <R><era>\n*séc. <R><era>",
        "part": "*early: início do século <R><era>\nearly: no início do século <R><era>\n*mid: meados do século <R><era>\nmid: em meados do século <R><era>\n*late: final do século <R><era>\nlate: no final do século <R><era>\n*late: fim do século <R><era>\n*first half: primeira metade do século <R><era>\n*second half: segunda metade do século <R><era>",
        "decade": "*anos <D>\ndécada de <D>\n*a década de <D>",
        "range": "*<A><to><B>\nde <A> a <B>\n*de <d> de <mon> a <e> de <mos> de <Y>\n*<d> de <mon> de <A> – <e> de <mos> de <B>\n*entre <A> e <B>\n*<A> ou <B>\n<d>-<e2> de <mon> de <Y>\n*<mon><to><mos> de <Y>",
        "open": "*before: antes de <Y>\n*after: depois de <Y>\n*after: após <Y>\n*after: desde <Y>\n*before: até <Y>\n*after: a partir de <Y>",
        "life": "*born: nascido em <Y>\nborn: nascida em <Y>\n*born: nascido em <d> de <mon> de <Y>\n*died: falecido em <Y>\ndied: morto em <d> de <mon> de <Y>\n*died: morreu em <d> de <mon> de <Y>",
    },
)
DUTCH = Language(
    "januari februari maart april mei juni juli augustus september oktober november december",
    "jan. feb. mrt. apr. mei juni juli aug. sep. okt. nov. dec.",
    (" v.Chr.", " v. Chr.", " voor Christus", " v.C."),
    (" n.Chr.", " n. Chr.", " na Christus"),
    ("rond ", "omstreeks ", "ca. ", "circa ", "ongeveer "),
    (" tot ", "-", "–", " – ", " t/m "),
    {"lente": 21, "voorjaar": 21, "zomer": 22, "herfst": 23, "najaar": 23, "winter": 24},
    "maandag dinsdag woensdag donderdag vrijdag zaterdag zondag",
    ("mogelijk ", "waarschijnlijk ", "vermoedelijk ", "misschien "),
    "eerste tweede derde vierde vijfde zesde zevende achtste negende tiende elfde twaalfde dertiende "
    "veertiende vijftiende zestiende zeventiende achttiende negentiende twintigste",
    "<n>e eeuw",
    {
        "day": "*<d> <mon> <Y>\nop <d> <mon> <Y>\n<wday> <d> <mon> <Y>\nde <d>e <mon> <Y>\n<d> <mon>, <Y>",
        "month": "*<mon> <Y>\nin <mon> <Y>\nin de maand <mon> <Y>",
        "year": "*in <Y>\nhet jaar <Y>\nin het jaar <Y>\n*<Y>",
        "season": "*<S> <Y>\nde <S> van <Y>\nin de <S> van <Y>\n<S> van <Y>",
        "circa": "*<c><Y>\n<c><mon> <Y>\n*<maybe><Y>\n<maybe>in <Y>\n<Y> (?)",
        "century": "*<n>e eeuw<era>\n*de <n>e eeuw<era>\nin de <n>e eeuw<era>\n*<nth> eeuw<era>\nde <nth> eeuw<era>\n<n>de eeuw<era>",
        "part": "*early: begin <n>e eeuw<era>\n*early: vroege <n>e eeuw<era>\nearly: begin van de <n>e eeuw<era>\n*mid: midden <n>e eeuw<era>\nmid: midden van de <n>e eeuw<era>\n*late: eind <n>e eeuw<era>\nlate: einde van de <n>e eeuw<era>\n*late: late <n>e eeuw<era>\n*first half: eerste helft van de <n>e eeuw<era>\n*second half: tweede helft van de <n>e eeuw<era>",
        "decade": "*jaren <D>\n*de jaren <D>\nin de jaren <D>",
        "range": "*<A><to><B>\nvan <A> tot <B>\n*van <d> <mon> tot <e> <mos> <Y>\n*<d> <mon> <A> – <e> <mos> <B>\n*tussen <A> en <B>\n*<A> of <B>\n<d>-<e2> <mon> <Y>\n<d> tot <e2> <mon> <Y>\n*<mon><to><mos> <Y>",
        "open": "*before: voor <Y>\n*after: na <Y>\n*after: sinds <Y>\n*after: vanaf <Y>\n*before: tot <Y>\n*before: uiterlijk <Y>",
        "life": "*born: geboren in <Y>\n*born: geboren op <d> <mon> <Y>\n*died: overleden in <Y>\n*died: gestorven in <Y>\n*died: overleden op <d> <mon> <Y>\n*born: geb. <d> <mon> <Y>",
    },
)
LANGUAGES = {
    "German": GERMAN, "French": FRENCH, "Spanish": SPANISH, "Italian": ITALIAN,
    "Portuguese": PORTUGUESE, "Dutch": DUTCH,
}  # fmt: skip


def era_of(r: Choices, language: Language, year: tuple[int, bool]) -> str:
    if year[1]:
        return r.pick(language.before)
    share = 1.0 if year[0] < 100 else 0.2 if year[0] < 1000 else 0.02
    return r.pick(language.after) if r.chance(share) else ""


def make(language: Language, kind: str, r: Choices, template: str) -> Sample:
    head, _, rest = template.partition(": ")
    said = head if rest and kind in ("part", "open", "life") else ""
    body = rest if said else template
    if kind in ("century", "part"):
        return _century(language, r, body, said)
    if kind == "decade":
        tens = r.number(150, 202) if r.chance(0.85) else r.number(80, 150)
        return Sample(fill(body, D=f"{tens}0"), (f"{tens:03d}X",))
    year = a_year_before(r) if r.chance(0.2) else a_year(r)
    month = a_month(r)
    day = 1 if body.startswith("1º") else a_day(r, year, month)
    last = later(r, year)
    names = language.months.split() if r.chance(0.8) else language.short.split()
    case = str.capitalize if r.chance(0.1) else str
    season = r.pick(tuple(language.seasons))
    shown = number_text(r, year) + era_of(r, language, year)
    slots = {
        "d": str(day), "d1": "1er" if day == 1 and r.chance(0.85) else str(day), "mon": case(names[month - 1]),
        "Y": shown, "S": case(season), "c": lambda: r.pick(language.circa), "maybe": lambda: r.pick(language.maybe),
        "wday": lambda: case(r.pick(language.weekdays.split())),
    }  # fmt: skip
    value = edtf_year(year)
    if kind == "range":
        return _range(language, r, body, slots, year, last, names)
    if "<S>" in body:
        value += f"-{language.seasons[season]}"
    elif "<mon>" in body:
        value += f"-{month:02d}" + (f"-{day:02d}" if "<d" in body or body.startswith("1º") else "")
    if kind == "circa":
        value += "~" if "<c>" in body or "circa" in body else "?"
    if kind == "open":
        value = f"../{value}" if said == "before" else f"{value}/.."
    return Sample(fill(body, **slots), (value,), {"kind": said} if kind == "life" else {})


def _century(language: Language, r: Choices, body: str, part: str) -> Sample:
    before = r.chance(0.25)
    number = r.number(1, 10) if before else r.number(1, 21) if r.chance(0.4) else r.number(9, 20)
    words = language.ordinals.split()
    if "<nth>" in body:
        number = min(number, len(words))
    era = r.pick(language.before) if before else ""
    word = words[number - 1] if number <= len(words) else ""
    if language is GERMAN and body.startswith("das"):
        word = word[:-1]
    roman = ROMAN[number - 1]
    if "<R>e " in body and number == 1:
        roman = "Ier"[:1]
        body = body.replace("<R>e ", r.one("<R>er ", "<R>er ", "<R>e "))
    text = fill(body, n=str(number), R=roman, nth=word, era=era)
    return Sample(text, (f"{'-' if before else ''}{number - 1:02d}XX",), {"part": part} if part else {})


def _range(language: Language, r: Choices, body: str, slots: dict, year, last, names) -> Sample:  # type: ignore[no-untyped-def]
    while year[1] != last[1]:
        year = a_year(r)
        last = later(r, year)
    month = r.number(1, 11)
    after = r.number(month + 1, 12)
    d, e = r.number(1, 28), r.number(1, 28)
    second = r.number(min(d + 1, 28), 28)
    same = "<A>" not in body
    era = era_of(r, language, last)
    first_era = era if r.chance(0.3) else ""
    dated = "<mon> <A>" in body or "<mon> de <A>" in body
    slots |= {
        "d": str(d), "d1": "1er" if d == 1 else str(d), "e": str(e), "e2": str(second), "mon": names[month - 1],
        "mos": names[after - 1], "A": number_text(r, year) + (era if dated else first_era),
        "B": number_text(r, last) + era, "Y": number_text(r, year) + era_of(r, language, year),
    }  # fmt: skip
    to = r.pick(language.to)
    if " " not in to and ("<mon><to>" in body and "<d" in body):
        to = f" {to} "
    slots["to"] = to if to.strip().isalpha() or "/" in to else dash(r) if r.chance(0.4) else to
    if "<e2>" in body and d >= second:
        slots["d"], d = str(second - 1), second - 1
    text = fill(body, **slots)
    a, b = edtf_year(year), edtf_year(year if same else last)
    if "<e2>" in body:
        a, b = f"{a}-{month:02d}-{d:02d}", f"{a}-{month:02d}-{second:02d}"
    elif "<mos>" in body:
        a += f"-{month:02d}" + (f"-{d:02d}" if "<d" in body else "")
        b += f"-{after:02d}" + (f"-{e:02d}" if "<d" in body else "")
    if body.startswith(("zwischen", "entre", "tra ", "fra ", "tussen")):
        return Sample(text, (f"[{a}..{b}]",))
    if any(f" {word} <B>" in body for word in ("oder", "ou", "o", "of")):
        return Sample(text, (f"[{a},{b}]",))
    return Sample(text, (f"{a}/{b}",))


for _name, _language in LANGUAGES.items():
    for _kind, _templates in _language.templates.items():
        forms(_name, partial(make, _language, _kind), _templates, 1.6 if _kind in ("day", "century") else 1.0)
