"""Formats of strings as regular expressions; what a regular expression cannot say is refused."""

from __future__ import annotations

__all__ = ["FORMATS", "LONGEST", "REFUSED_FORMATS"]

_LEAP = "(?:[1-9][0-9](?:0[48]|[2468][048]|[13579][26])|(?:[2468][048]|[13579][26])00)-02-29"
_DATE = (  # from the year 1000 on
    "(?:[1-9][0-9]{3}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])"
    "|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))"
    f"|{_LEAP})"
)
_CLOCK = "(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\\.[0-9]{1,9})?"
_OFFSET = "(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
_BYTE = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4 = f"{_BYTE}(?:\\.{_BYTE}){{3}}"
_HEX = "[0-9a-fA-F]{1,4}"
_IPV6 = "|".join(
    [f"(?:{_HEX}:){{7}}{_HEX}", f"(?:{_HEX}:){{1,7}}:", f":(?:(?::{_HEX}){{1,7}}|:)"]
    + [f"(?:{_HEX}:){{1,{7 - n}}}(?::{_HEX}){{1,{n}}}" for n in range(1, 7)]
)
_LABEL = "[A-Za-z0-9]{1,31}(?:-[A-Za-z0-9]{1,15}){0,2}"  # nothing that looks like Punycode
_HOST = f"{_LABEL}(?:\\.{_LABEL})*"
_ATOM = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_TIME_PART = "T(?:[0-9]+H(?:[0-9]+M(?:[0-9]+S)?)?|[0-9]+M(?:[0-9]+S)?|[0-9]+S)"
_DAY_PART = "(?:[0-9]+Y(?:[0-9]+M(?:[0-9]+D)?)?|[0-9]+M(?:[0-9]+D)?|[0-9]+D)"
_URI_CHARACTER = "(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})"
_URI = (
    "[A-Za-z][A-Za-z0-9+.-]*:"
    f"(?://(?:[A-Za-z0-9._~-]+@)?(?:{_HOST})(?::[0-9]{{1,5}})?(?:/{_URI_CHARACTER}*)*"
    f"|{_URI_CHARACTER}+(?:/{_URI_CHARACTER}*)*)"
    f"(?:\\?(?:{_URI_CHARACTER}|[/?])*)?(?:#(?:{_URI_CHARACTER}|[/?])*)?"
)

LONGEST = {"hostname": 253, "email": 254}  # characters
FORMATS = {
    name: f"^(?:{pattern})$"
    for name, pattern in {
        "date": _DATE,
        "time": _CLOCK + _OFFSET,
        "date-time": f"{_DATE}T{_CLOCK}{_OFFSET}",
        "duration": f"P(?:{_DAY_PART}(?:{_TIME_PART})?|{_TIME_PART}|[0-9]+W)",
        "email": f"{_ATOM}(?:\\.{_ATOM})*@{_HOST}",
        "hostname": _HOST,
        "ipv4": _IPV4,
        "ipv6": _IPV6,
        "uuid": "[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}",
        "uri": _URI,
        "json-pointer": "(?:/(?:[^/~]|~[01])*)*",
    }.items()
}
"""Formats that are checked; each pattern matches no more than the format allows."""

REFUSED_FORMATS = frozenset(
    {
        "idn-email",
        "idn-hostname",
        "iri",
        "iri-reference",
        "regex",
        "relative-json-pointer",
        "uri-reference",
        "uri-template",
    }
)
"""Formats that JSON Schema defines and that are not checked."""
